"""Every fault code of X-Road 7.8: what it means, what to do about it, and who raises it here.

Written for the person who reads a code in a log, a metric or an answer. Codes that this software
never raises still arrive from other servers, so they are explained as well.

Source: errors.md 10; X-Road 7.8 ErrorCodes.java, ErrorCode.java.
"""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Who raises a code in Sacbe."""

    BOTH = "either node"
    CONSUMER = "the consumer's node"
    PROVIDER = "the provider's node"
    EVIDENCE = "verifying evidence"
    CONFIGURATION = "reading the trust list"
    KEYS = "keeping keys"
    STAMPING = "the time-stamper"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class FaultCode:
    """One code, or one word of a code that has groups in front.

    Attributes:
        old: the spelling up to X-Road 7.7.1; None when there was none.
        use: where X-Road uses it: M message exchange, S signer, A containers and the log, T
            time-stamping, O OCSP, G the trust list, D administration; empty for nowhere, `own` for
            a code of Sacbe that X-Road does not have.
        todo: what an administrator does about it.
        why: why Sacbe never raises it; empty when it does.
    """

    name: str
    old: str | None
    use: str
    origin: Origin
    meaning: str
    todo: str
    why: str = ""


def regular_spelling(name: str) -> str:
    """The old spelling of most codes."""
    return "".join(part.capitalize() for part in name.split("_"))


def _code(
    name: str, use: str, origin: Origin, meaning: str, todo: str, *, old: str | None = None
) -> FaultCode:
    return FaultCode(name, old or regular_spelling(name), use, origin, meaning, todo)


def _new(name: str, use: str, origin: Origin, meaning: str, todo: str) -> FaultCode:
    """A code without an old spelling."""
    return FaultCode(name, None, use, origin, meaning, todo)


_ASK = "Ask the operator of the server that answered; the id of the fault stands in its log."


def _never(
    why: str, use: str, *rows: tuple[str, str], new: bool = False, old: str | None = None
) -> tuple[FaultCode, ...]:
    """Codes that only come from other servers, each with its meaning."""
    return tuple(
        FaultCode(
            name,
            None if new else old or regular_spelling(name),
            use,
            Origin.NEVER,
            meaning,
            _ASK,
            why,
        )
        for name, meaning in rows
    )


_BOTH, _CONSUMER, _PROVIDER = Origin.BOTH, Origin.CONSUMER, Origin.PROVIDER
_EVIDENCE, _CONFIGURATION, _KEYS = Origin.EVIDENCE, Origin.CONFIGURATION, Origin.KEYS
_STAMPING = Origin.STAMPING

_NETWORK = (
    _code("io_error", "M", _BOTH, "A connection broke, timed out or could not be secured.",
          "Look at the network and the load of the other side; the text says which side.",
          old="IOError"),
    _code("network_error", "M", _BOTH, "Nobody could be reached, or the connection was refused.",
          "Check address, port and firewall of the server that the text names."),
    _code("unknown_host", "M", _BOTH, "A host name has no address.",
          "Correct the name in the service's address or the registry, or repair name resolution.",
          old="NetworkError"),
    _code("http_error", "M", _BOTH, "The other side answered with an HTTP status of an error.",
          "Look into the log of the system or server that answered."),
    _code("internal_error", "M", _BOTH, "Something unexpected, or a request that X-Road has no "
          "other code for.",
          "Read the text; without a hint in it look for the id of the fault in the node's log."),
    _code("database_error", "M", _BOTH, "The database does not take or give data.",
          "Look at the database: whether it runs, its disk, its log."),
)  # fmt: skip

_REQUEST = (
    _code("invalid_http_method", "M", _BOTH, "SOAP messages are sent by POST.",
          "Let the information system use POST, or the REST path."),
    _code("invalid_content_type", "M", _BOTH, "The content type is missing or not of the protocol.",
          "Let the system send text/xml, or multipart/related with a content type on every part."),
    _code("invalid_soap_action", "M", _CONSUMER, "The SOAPAction header is not a quoted URI.",
          "Let the information system quote the value or leave it out."),
    _code("mime_parsing_failed", "M", _BOTH, "A multipart message is broken.",
          "Look at boundaries and line ends of what the system sends."),
    _code("missing_soap", "M", _BOTH, "A message came without its SOAP part.",
          "Let the system send the SOAP message as the first part."),
    _code("missing_rest", "M", _BOTH, "A message between nodes came without its REST part.",
          "Ask the operator of the other node."),
    _code("missing_signature", "M", _BOTH, "A message between nodes came without a signature.",
          "Ask the operator of the other node; it may have failed while signing."),
    _code("invalid_soap", "M", _BOTH, "A message is not XML or no SOAP 1.1 envelope.",
          "Look at what the system sends; SOAP 1.2 and document types are not accepted."),
    _code("invalid_xml", "M", _BOTH, "An element has a form that its schema does not allow.",
          "Correct what the text names, mostly objectType of an identifier."),
    _code("invalid_message", "M", _BOTH, "The parts of a message are not those of the protocol.",
          "Ask whoever sent the message; the text says what was found."),
    _code("missing_header", "M", _BOTH, "The envelope has no header.",
          "Let the system send the X-Road header."),
    _code("missing_header_field", "M", _BOTH, "A required field of the header is missing.",
          "Let the system send the field that the text names."),
    _code("duplicate_header_field", "M", _BOTH, "A field of the header is there twice.",
          "Let the system send the field that the text names once."),
    _code("invalid_protocol_version", "M", _BOTH, "The protocol version is not 4.x.",
          "Let the system send protocolVersion 4.0."),
    _code("missing_body", "M", _BOTH, "The envelope has no body.", "Let the system send one."),
    _code("invalid_body", "M", _BOTH, "The body has no element or more than one.",
          "Let the system send one wrapper element."),
    _code("inconsistent_headers", "M", _BOTH, "The wrapper element is not named after the service.",
          "Correct the service code in the header or the element in the body."),
    _code("invalid_client_identifier", "M", _BOTH, "It is not clear who is calling.",
          "Send X-Road-Client, or an objectType that fits the parts of the identifier."),
    _code("invalid_request", "M", _BOTH, "The content of a request to a built-in service is wrong.",
          "Correct what the text names."),
)  # fmt: skip

_ROUTING = (
    _code("global_conf_outdated", "M", _BOTH, "The trust list is expired and nothing is exchanged.",
          "Look why no fresh trust list arrives: the registry, the network, the clock.",
          old="OutdatedGlobalConf"),
    _code("malformed_global_conf", "GM", _CONFIGURATION, "The trust list is not what it must be.",
          "Tell the operator of the registry; the last good one is used until it expires."),
    _code("unknown_member", "M", _BOTH, "A member or subsystem is not registered where it must be.",
          "Check the identifier, and whether the subsystem is registered and its node reachable."),
    _code("invalid_security_server", "M", _BOTH, "The targeted server is unknown or another one.",
          "Correct securityServer of the request, or leave it out."),
    _code("maintenance_mode", "M", _CONSUMER, "The provider's servers are in maintenance.",
          "Wait; the text carries the notice of their operator."),
    _code("client_proxy_version_not_supported", "M", _PROVIDER, "The consumer's node is too old.",
          "Let the consumer's operator upgrade, or lower the version that is demanded."),
    _code("unknown_service", "M", _PROVIDER, "The provider offers no such service.",
          "Check service code and version; the provider lists its services."),
    _code("service_type", "M", _PROVIDER, "A REST service was called by SOAP or the other way.",
          "Use the other interface."),
    _code("access_denied", "M", _PROVIDER, "The consumer has no right to the service.",
          "Ask the provider for the right; its operator grants it."),
    _new("purpose_missing", "own", _PROVIDER, "The right is for certain purposes, and the request "
         "states none.",
         "Let the information system state the purpose (Once-Purpose) that was granted."),
    _new("purpose_not_granted", "own", _PROVIDER, "The right is for other purposes than the "
         "request states.",
         "State the purpose that was granted, or ask the provider for a grant for this one."),
    _new("grant_not_yet_valid", "own", _PROVIDER, "The right begins later.",
         "Wait, or ask the provider for another date."),
    _new("grant_expired", "own", _PROVIDER, "The right has ended.",
         "Ask the provider for a new grant."),
    _new("quota_used_up", "own", _PROVIDER, "The right allows fewer calls in its time.",
         "Wait, or ask the provider for a larger quota; the provider's log has the numbers."),
    _new("fields_not_granted", "own", _PROVIDER, "None of the fields that the request names is "
         "granted.",
         "Ask for fields (Once-Fields) that are granted, or ask the provider to grant these."),
    _new("answer_not_reducible", "own", _PROVIDER, "The right is for certain fields, and the "
         "service answered what no field can be taken from, so nothing left.",
         "At the provider, read the log line of the exchange: it says what the system answered or "
         "what the mapping lacks."),
    _new("refused_by_policy", "own", _PROVIDER, "A policy of the provider refuses the request.",
         "Ask the provider; its log names the policy."),
    _new("invalid_intent", "own", _BOTH,
         "What the request says of its purpose can't be read, or whom it is about can't be told.",
         "Correct what the text names: headers once, short, printable; one subject, plainly."),
    _code("service_disabled", "M", _PROVIDER, "The provider has switched the service off.",
          "Wait or ask the provider; the text carries its notice."),
    _code("service_missing_url", "M", _PROVIDER, "The service has no address.",
          "Declare the address of the service."),
    _code("service_malformed_url", "M", _PROVIDER, "The address of the service is no URL.",
          "Correct the address of the service."),
    _code("service_failed", "M", _BOTH, "Group: the side behind the node that answers failed.",
          "Read the word behind it."),
    _code("inconsistent_response", "M", _CONSUMER, "The answer belongs to another request.",
          "Let the provider's system repeat all fields of the header; with a wrong hash ask the "
          "provider's operator, for the answer may have been exchanged on the way."),
)  # fmt: skip

_TRUST = (
    _code("ssl_authentication_failed", "M", _BOTH, "The other end of a connection is not who it "
          "must be.",
          "Check the certificate of the information system or node that the text names."),
    _code("cannot_create_signature", "M", _BOTH, "The node can't sign for the member.",
          "Check that the member's signing key is open, its certificate valid and its OCSP "
          "response fresh."),
    _code("signature_verification", "M", _BOTH, "Group: the signature of a message does not hold.",
          "Read the word behind it and ask the signer's operator."),
    _code("invalid_signature_value", "M", _EVIDENCE, "The signature was made by another key or "
          "over other bytes.",
          "Do not trust the message; ask its sender."),
    _code("malformed_signature", "M", _EVIDENCE, "The signature does not have the form of X-Road.",
          "Ask the signer's operator which software signed."),
    _code("invalid_reference", "M", _EVIDENCE, "The signature covers something that is not there.",
          "Ask the signer's operator; parts may have been lost or exchanged."),
    _code("incorrect_certificate", "M", _EVIDENCE, "A certificate can't be read, or names another.",
          "Let the member renew its certificate, or correct the profile in the trust list."),
    _code("malformed_hash_chain", "M", _EVIDENCE, "The hash chain of a batch can't be read.",
          "Ask the signer's operator."),
    _code("invalid_hash_chain", "M", _EVIDENCE, "The hash chain does not lead to what was signed.",
          "Do not trust the message; ask its sender."),
    _code("invalid_hash_chain_ref", "M", _EVIDENCE, "A part has another digest than in the chain.",
          "Do not trust the message; a part was altered."),
    _code("hashchain_unused_inputs", "M", _EVIDENCE, "The hash chain does not cover a part.",
          "Do not trust the message; a part was added.", old="HashChainUnusedInputs"),
    _code("cert_validation", "M", _EVIDENCE, "A certificate was not good when it was used.",
          "Let its owner renew it, or ask the CA why it is revoked or suspended."),
    _code("incorrect_validation_info", "M", _EVIDENCE, "An OCSP response is too old or not "
          "authorised.",
          "Look at the OCSP responder and at the clocks of both nodes."),
    _code("cannot_create_cert_path", "M", _EVIDENCE, "A certificate leads to no approved CA.",
          "Check that the CA and its intermediate ones are in the trust list."),
    _code("invalid_cert_path", "M", _EVIDENCE, "The chain of a certificate does not hold.",
          "Check the validity of the CA's certificates in the trust list."),
    _code("logging_failed", "M", _BOTH, "The message log does not take the message, so nothing "
          "happens.",
          "Look at the database, the disk and the time-stamping services."),
)  # fmt: skip

_CONTAINERS = (
    _code("asic_invalid_container", "", _EVIDENCE, "A file is not an ASiC container.",
          "Ask for the file again; it may be cut off."),
    _code("asic_mime_type_not_found", "A", _EVIDENCE, "The container does not begin with mimetype.",
          "Ask for the container again; some tool packed it anew."),
    _code("asic_invalid_mime_type", "A", _EVIDENCE, "The container says to be something else.",
          "Ask for an ASiC-E container."),
    _code("asic_signature_not_found", "A", _EVIDENCE, "The container holds no signature.",
          "Ask for the whole container; without the signature it proves nothing."),
    _code("asic_message_not_found", "A", _EVIDENCE, "The container holds no message.",
          "Ask for the whole container."),
    _code("asic_hash_chain_result_not_found", "A", _EVIDENCE, "A batch signature lacks its result.",
          "Ask for the whole container."),
    _code("asic_hash_chain_not_found", "A", _EVIDENCE, "A batch signature lacks its hash chain.",
          "Ask for the whole container."),
    _code("asic_timestamp_not_found", "A", _EVIDENCE, "The container holds no time-stamp.",
          "Ask for a container that was made after time-stamping."),
    _code("asic_manifest_not_found", "A", _EVIDENCE, "The container holds no manifest.",
          "Ask for the whole container."),
    _new("mlog.no_timestamping_provider_found", "T", _BOTH, "No time-stamping service is "
         "approved.",
         "Let the registry approve one, or choose one in the node's settings."),
    _new("mlog.tsp_certificate_not_found", "T", _EVIDENCE, "A time-stamp was made by an unknown "
         "service.",
         "Check that the service's certificate is in the trust list."),
    _new("mlog.timestamp_signer_verification_failed", "T", _EVIDENCE, "The signature of a "
         "time-stamp does not hold.",
         "Do not trust the time; ask the time-stamping service."),
    _code("timestamping_failed", "M", _BOTH, "No time-stamp can be had, for longer than is "
          "accepted or when it is needed at once.",
          "Look at the node's log for what each time-stamping service answered."),
    _new("mlog.timestamp_request_timed_out", "T", _STAMPING, "A time-stamping service was too "
         "slow.",
         "Look at the network; timestamping.answer_timeout can be longer."),
    _new("mlog.malformed_timestamp_server_url", "T", _STAMPING, "The address of a time-stamping "
         "service is no URL.",
         "Ask the registry's operator to correct it, or correct timestamping.urls."),
    _new("mlog.timestamping_non_ok_response", "T", _STAMPING, "A time-stamping service answered "
         "with an HTTP error or a redirect.",
         "Ask the service; a redirect is not followed, so give the address that it leads to."),
    _new("mlog.timestamp_provider_connection_failed", "T", _STAMPING, "A time-stamping service "
         "can't be reached, or its answer has no end.",
         "Check address, port and firewall."),
    _new("mlog.reading_timestamp_response_failed", "T", _STAMPING, "What came is no answer of a "
         "time-stamping service.",
         "Check that the address is that of the service itself."),
    _new("mlog.timestamp_non_granted_response", "T", _STAMPING, "A time-stamping service refused.",
         "Ask the service; the text has its reason."),
    _new("mlog.timestamp_response_validation_failed", "T", _STAMPING, "A time-stamp is for "
         "something else, or its time is not now.",
         "Compare the clocks; else ask the time-stamping service."),
    _new("mlog.adding_signature_to_ts_token_failed", "T", _STAMPING, "A time-stamp could not be "
         "completed with the service's certificate.",
         "Ask the time-stamping service."),
    _new("mlog.failed_to_build_signature_hash_chain", "T", _STAMPING, "Records have lost their "
         "places in the log.",
         "Somebody removed rows of log_leaf: find out who, and audit the log."),
)  # fmt: skip

_TRUST_LIST = (
    _new("global_conf_download_url_connection_failure", "G", _CONFIGURATION, "A source of the "
         "trust list can't be reached.",
         "Check the network to the address in the anchor; the last good list is used meanwhile."),
    _new("global_conf_get_version_failed", "G", _CONFIGURATION, "A source did not say which "
         "versions it has.",
         "Tell the operator of the registry."),
    _new("global_conf_header_field_missing", "G", _CONFIGURATION, "A directory of the trust list "
         "lacks a field.",
         "Tell the operator of the registry."),
    _new("global_conf_header_field_missing_parameter", "G", _CONFIGURATION, "A field of a "
         "directory lacks a parameter.",
         "Tell the operator of the registry."),
    _new("global_conf_header_field_wrong_value", "G", _CONFIGURATION, "A field of a directory has "
         "a wrong value.",
         "Tell the operator of the registry."),
    _new("global_conf_missing_signed_data", "G", _CONFIGURATION, "A directory has no signed part.",
         "Tell the operator of the registry."),
    _new("global_conf_missing_signed_data_expiration_date", "G", _CONFIGURATION, "A directory does "
         "not say when it expires.",
         "Tell the operator of the registry."),
    _new("global_conf_missing_verification_cert", "G", _CONFIGURATION, "The anchor does not name "
         "the key that signed the trust list.",
         "Fetch the current anchor from the operator of the registry, by a way that you trust."),
    _new("global_conf_signature_decode_failure", "G", _CONFIGURATION, "The signature of a "
         "directory can't be read.",
         "Tell the operator of the registry."),
    _new("global_conf_signature_verification_failure", "G", _CONFIGURATION, "The signature of a "
         "directory does not hold.",
         "Do not use the source; tell the operator of the registry at once."),
    _new("global_conf_parsing_downloaded_conf_directory_failure", "G", _CONFIGURATION, "A "
         "directory of the trust list can't be read.",
         "Tell the operator of the registry."),
    _new("global_conf_part_invalid_instance_identifier", "G", _CONFIGURATION, "A part belongs to "
         "another instance.",
         "Tell the operator of the registry."),
    _new("global_conf_part_download_failure", "G", _CONFIGURATION, "A part of the trust list can't "
         "be fetched.",
         "Check the network to the source; the last good list is used meanwhile."),
    _new("global_conf_part_downloaded_file_integrity_failure", "G", _CONFIGURATION, "A part has "
         "another digest than the directory says.",
         "Fetch again; if it stays, tell the operator of the registry."),
    _new("malformed_anchor", "G", _CONFIGURATION, "The anchor can't be read.",
         "Fetch the anchor from the operator of the registry again."),
    _new("conf_verification.missing_private_params", "GD", _CONFIGURATION, "The source gives no "
         "private parameters.",
         "Use the anchor of the internal source, not of the external one."),
    _new("unknown_instance", "own", _EVIDENCE, "There is no trust list of the signer's instance.",
         "Give the verifier the trust list of that instance."),
    _new("global_conf_rollback", "own", _CONFIGURATION, "A source gives an older trust list than "
         "the one that was believed before.",
         "Tell the operator of the registry; the newer list is used until it expires."),
    _new("global_conf_source_withdrawn", "own", _CONFIGURATION, "The registry no longer names this "
         "source.",
         "Nothing, when the federation has ended; else tell the operator of the registry."),
)  # fmt: skip

_KEY_CODES = (
    _code("key_not_found", "S", _KEYS, "There is no such key.",
          "List the keys; a node needs one for signing and one for TLS."),
    _code("cert_exists", "S", _KEYS, "The certificate is there already.", "Nothing."),
    _code("wrong_cert_usage", "S", _KEYS, "The certificate is for the other use.",
          "Import a certificate for signing where one for signing is needed, and so for TLS."),
    _code("cert_import_failed", "S", _KEYS, "The certificate can't be taken.",
          "Check that it belongs to the key and is valid."),
    _new("client_not_found", "D", _KEYS, "The certificate names a member that is not registered.",
         "Register the member first, or ask the CA for the right name."),
    _new("invalid_certificate", "D", _KEYS, "The certificate does not follow the profile.",
         "Ask the CA for a certificate of the profile that the trust list names."),
)  # fmt: skip

_NO_ADMIN_API = "administration is by commands and files, whose errors are sentences"
_NO_SIGNER = "keys are kept by the node itself; what fails is told as cannot_create_signature"
_STAMPER = "the time-stamper tells its operator in log and metrics; messages fail as logging_failed"
_OCSP = "what fails in fetching is told in the log, and the old response is used until it is stale"
_UNUSED = "X-Road itself raises it nowhere"
_SUMMED_UP = "told as one of the other codes of the trust list"

_FOREIGN = (
    *_never("the node answers that its services are not declared as unknown_member", "M",
            ("malformed_server_conf", "The server is not set up.")),
    *_never("downloads tell their status and a sentence", "A",
            ("bad_request", "A download was asked for in a wrong way."),
            ("not_found", "There is nothing to download under this name.")),
    *_never("the node has no hardware tokens behind a signer", "D",
            ("hsm_non_operational", "A hardware token does not answer."), old="HSMNonOperational"),
    *_never(_UNUSED, "",
            ("invalid_response", "An answer can't be used."),
            ("missing_validation_info", "An OCSP response is missing."),
            ("cert_validity_time", "A certificate is not valid now."),
            ("unsupported_algorithm", "An algorithm is not supported."),
            ("malformed_soap", "A message is not SOAP."),
            ("invalid_rest", "A message is not REST."),
            ("malformed_key_conf", "The keys are not set up."),
            ("adapter_wsdl_not_found", "A WSDL is missing."),
            ("key_not_available", "A key can't be used."),
            ("failed_to_generate_certificate_request", "A request could not be made."),
            ("failed_to_generate_public_key", "A key could not be made."),
            ("failed_to_delete_key", "A key could not be deleted."),
            ("cannot_get_member_id_from_certificate", "A certificate names no member."),
            ("cannot_find_member", "A member is not registered."),
            ("timestamper_failed", "The time-stamper stopped.")),
    *_never(_NO_SIGNER, "S",
            ("cert_not_found", "There is no such certificate."),
            ("csr_not_found", "There is no such certificate request."),
            ("token_not_found", "There is no such token."),
            ("token_not_initialized", "The token is not set up."),
            ("token_not_available", "The token can't be used now."),
            ("token_not_active", "Nobody has opened the token by its PIN."),
            ("cannot_sign", "The token did not sign."),
            ("unsupported_sign_algorithm", "The token can't sign like that."),
            ("failed_to_generate_private_key", "The token made no key."),
            ("login_failed", "The token could not be opened."),
            ("logout_failed", "The token could not be closed."),
            ("pin_incorrect", "The PIN is wrong."),
            ("token_pin_policy_failure", "The PIN is too simple.")),
    *_never(_NO_SIGNER, "S", ("token_readonly", "The token takes no keys."), old="TokenReadOnly"),
    *_never(_NO_SIGNER, "S", ("cryptography_error", "A computation on keys failed."), new=True),
    *_never(_STAMPER, "T",
            ("mlog.log_manager_unavailable", "The message log does not run."),
            ("mlog.timestamp_token_signer_info_not_found", "A time-stamp does not name its maker."),
            ("mlog.timestamp_token_encoding_failed", "A time-stamp could not be written."),
            ("mlog.updating_message_signature_failed", "A signature could not be stored."),
            ("mlog.no_log_records_specified", "There was nothing to stamp."),
            ("mlog.message_log_record_not_found", "A record is gone from the log."),
            ("mlog.failed_to_prepare_signature_data", "A signature could not be read."),
            ("mlog.no_signature_hashes_specified", "There was nothing to stamp."),
            ("mlog.calculating_message_digest_failed", "A digest could not be computed."),
            ("mlog.timestamp_response_object_creation_failed", "An answer can't be read."),
            ("mlog.timestamp_record_save_failure", "A time-stamp could not be stored."),
            new=True),
    *_never(_OCSP, "O",
            ("ocsp_connection_error", "An OCSP responder can't be reached."),
            ("ocsp_response_parsing_failure", "An OCSP response can't be read."),
            ("ocsp_failed", "An OCSP responder refused."),
            ("ocsp_response_verification_failure", "An OCSP response does not hold."),
            new=True),
    *_never(_SUMMED_UP, "GM",
            ("malformed_optional_parts_conf", "An optional part of the trust list can't be read.")),
    *_never(_SUMMED_UP, "G",
            ("failed_to_save_instance_identifier", "The instance could not be stored."),
            ("global_conf_part_downloaded_hash_failure", "A digest could not be computed."),
            ("global_conf_part_file_hash_failure", "A stored part has another digest."),
            ("global_conf_part_file_save_failure", "A part could not be stored."),
            ("global_conf_part_file_expiration_date_update_failure", "A date could not be stored."),
            ("anchor_file_not_found", "There is no anchor."),
            new=True),
    *_never(_SUMMED_UP, "GD",
            ("conf_verification.anchor_not_for_external_source", "It is the wrong anchor."),
            ("conf_verification.other", "The trust list could not be verified."),
            ("conf_verification.outdated", "The trust list is expired."),
            ("conf_verification.signature_invalid", "The signature does not hold."),
            ("conf_verification.unreachable", "The source can't be reached."),
            ("conf_download.invalid_download_url_format", "The address of a source is no URL."),
            ("conf_download_failed", "The trust list could not be fetched."),
            new=True),
    *_never(_NO_ADMIN_API, "D",
            ("invalid_encoded_id", "An identifier can't be read."),
            ("invalid_parameters", "Parameters of a call are wrong."),
            ("id_not_a_number", "A number was expected."),
            ("security_server_not_found", "There is no such server."),
            ("service_not_found", "There is no such service."),
            ("endpoint_not_found", "There is no such endpoint."),
            ("certificate_authority_not_found", "There is no such CA."),
            ("validation_error", "A field has a wrong value."),
            ("invalid_url", "An address is no URL."),
            ("invalid_distinguished_name", "A name of a certificate is wrong."),
            ("invalid_characters", "A text has characters that are not allowed."),
            ("invalid_pem_csr", "A certificate request can't be read."),
            ("duplicate_entry", "It is there already."),
            ("action_not_possible", "The state does not allow this."),
            ("management_request_failed", "The registry refused a request."),
            ("management_request_sending_failed", "A request did not reach the registry."),
            ("api_key_not_found", "There is no such key for the interface."),
            ("invalid_role", "There is no such role."),
            ("invalid_filename", "A file has a wrong name."),
            ("invalid_file_content_type", "A file is of a wrong type."),
            ("invalid_file_extension", "A file has a wrong ending."),
            ("double_file_extension", "A file has two endings."),
            ("invalid_backup_file", "A backup can't be read."),
            ("backup_file_not_found", "There is no such backup."),
            ("backup_generation_failed", "A backup could not be made."),
            ("generate_backup_interrupted", "Making a backup was interrupted."),
            ("restore_process_failed", "A backup could not be restored."),
            ("backup_restore_interrupted", "Restoring a backup was interrupted."),
            ("backup_deletion_failed", "A backup could not be deleted."),
            ("resource_read_failed", "A file can't be read."),
            ("invalid_address_char", "An address has characters that are not allowed."),
            ("openapi_file_error", "An OpenAPI description can't be read."),
            ("initialization_interrupted", "Setting up was interrupted."),
            ("email_sending_error", "A mail could not be sent."),
            ("token_fetch_failed", "Tokens could not be listed."),
            ("token_weak_pin", "The PIN is too simple."),
            ("invalid_client_name", "A name is not allowed."),
            ("timestamping_service_not_found", "There is no such time-stamping service."),
            ("gpg_key_generation_failed", "A key for backups could not be made."),
            ("key_and_cert_generation_failed", "Key and certificate could not be made."),
            ("member_class_exists", "The member class is there already."),
            new=True),
)  # fmt: skip

_FINDINGS = (
    _new("archive_file_removed", "own", _EVIDENCE, "An archive file that another one goes on "
         "from is not there.",
         "Look for the file in backups of the store; what it held is missing."),
    _new("archive_fork", "own", _EVIDENCE, "Two archive files go on from the same one.",
         "Find out which of them the node wrote; its list of files says so."),
    _new("archive_invalid_file", "own", _EVIDENCE, "An archive file can't be read.",
         "Fetch the file again; it may be cut off."),
    _new("archive_malformed_linking_info", "own", _EVIDENCE, "The list of digests in an archive "
         "file can't be read.",
         "Fetch the file again; somebody or something changed it."),
    _new("archive_missing_container", "own", _EVIDENCE, "A container that an archive file lists "
         "is not in it.",
         "Take it for removed; ask for the original file."),
    _new("archive_no_linking_info", "own", _EVIDENCE, "An archive file has no list of digests.",
         "Ask for the file as the node wrote it."),
    _new("archive_previous_unknown", "own", _EVIDENCE, "The file before this one is not at hand.",
         "Give it too, or the digest with which it ends."),
    _new("archive_too_large", "own", _EVIDENCE, "An archive file is larger than is read.",
         "Look at who made it; nodes write smaller ones."),
    _new("archive_unlisted_entry", "own", _EVIDENCE, "An archive file holds a container that it "
         "does not list.",
         "Take the container for put in later."),
    _new("archive_wrong_digest", "own", _EVIDENCE, "A container in an archive file is not the "
         "one that was listed.",
         "Take it for altered; ask for the original file."),
    _new("archive_wrong_order", "own", _EVIDENCE, "The list of an archive file is in another "
         "order than its containers.",
         "Ask for the file as the node wrote it."),
    _new("archive_wrong_previous", "own", _EVIDENCE, "An archive file goes on from another one "
         "than is given.",
         "Give the files in their order; if they are, one is missing or altered."),
    _new("body_altered", "own", _EVIDENCE, "A body in the log is not the one that was signed.",
         "Take it for altered; the other party of the exchange holds the original."),
    _new("body_unreadable", "own", _EVIDENCE, "A body of the log can't be read.",
         "Look at the folder for large bodies and at the key ring."),
    _new("checkpoint_moved", "own", _EVIDENCE, "A checkpoint says another size than the place "
         "where it stands.",
         "Take it for altered; the witnesses hold what was signed."),
    _new("checkpoint_rewritten", "own", _EVIDENCE, "A checkpoint is not the root of the log as "
         "it is.",
         "Ask the witnesses for the checkpoint that they cosigned."),
    _new("columns_altered", "own", _EVIDENCE, "A record is filed under something else than its "
         "message says.",
         "Take the row for altered; its message is what counts."),
    _new("invalid_consistency_proof", "own", _EVIDENCE, "A proof that a log only grew does not "
         "hold.",
         "Ask for the proof again; if it stays so, the log was rewritten."),
    _new("invalid_inclusion_proof", "own", _EVIDENCE, "A proof that a record is in a log does "
         "not hold.",
         "Ask for the proof again; if it stays so, the record is not in that log."),
    _new("invalid_receipt", "own", _EVIDENCE, "A receipt can't be read, or its parts are not "
         "those that it lists.",
         "Ask for the receipt again; it may be cut off."),
    _new("log_shrunk", "own", _EVIDENCE, "The log is shorter than a checkpoint of it.",
         "Take the last records for removed; the peers hold theirs."),
    _new("missing_log_key", "own", _EVIDENCE, "A receipt does not say with which key its log is "
         "signed.",
         "Ask for a receipt made after the node announced its key."),
    _new("no_timestamp", "own", _EVIDENCE, "A record has no time-stamp.",
         "Wait for the next one, or ask the node why there is none."),
    _new("no_trust_list", "own", _EVIDENCE, "No trust list of that moment is at hand.",
         "Give the node's history of trust lists, or one of that time."),
    _new("stamp_missing", "own", _EVIDENCE, "A time-stamp that the log speaks of is not there.",
         "Look for it in the archive; without it only the signers say when."),
    _new("stamp_overlaps", "own", _EVIDENCE, "Two time-stamps cover the same records.",
         "Take one of them for put in later."),
    _new("stamped_other", "own", _EVIDENCE, "What was time-stamped is not what the log holds.",
         "Take the records below it for altered."),
    _new("tree_altered", "own", _EVIDENCE, "The log is not the one that was signed.",
         "Look at the places that are named; the peers hold their side."),
    _new("tree_unknown", "own", _EVIDENCE, "A part of the tree is not at hand.",
         "Give the archive store, where older parts of the tree lie."),
    _new("unknown_key", "own", _EVIDENCE, "A checkpoint is signed with a key that nobody vouches "
         "for.",
         "Ask the owner of the node for the statement about its key."),
    _new("wrong_time", "own", _EVIDENCE, "A record's times contradict each other.",
         "Compare them with the other party's record."),
)  # fmt: skip

TABLE: tuple[tuple[str, tuple[FaultCode, ...]], ...] = (
    ("Network and software", _NETWORK),
    ("What was sent", _REQUEST),
    ("Routing, rights and availability", _ROUTING),
    ("Identity, signatures and the log", _TRUST),
    ("Containers and time-stamps", _CONTAINERS),
    ("What an audit finds", _FINDINGS),
    ("The trust list", _TRUST_LIST),
    ("Keys and certificates", _KEY_CODES),
    ("Codes that only other servers raise", _FOREIGN),
)
