"""The last words of fault codes that message exchange knows: labels of metrics, nothing else.

Source: errors.md 10 (codes marked M and S); X-Road 7.8 ErrorCodes.java, ErrorCode.java.
"""

KNOWN_CODES = frozenset(
    {
        "abandoned", "access_denied", "bad_request", "cannot_create_cert_path",
        "cannot_create_signature", "cannot_sign", "cert_validation",
        "client_proxy_version_not_supported", "cryptography_error", "database_error",
        "duplicate_header_field", "global_conf_outdated", "hashchain_unused_inputs",
        "http_error", "inconsistent_headers", "inconsistent_response", "incorrect_certificate",
        "incorrect_validation_info", "internal_error", "invalid_body", "invalid_cert_path",
        "invalid_client_identifier", "invalid_content_type", "invalid_hash_chain",
        "invalid_hash_chain_ref", "invalid_http_method", "invalid_message",
        "invalid_protocol_version", "invalid_reference", "invalid_request",
        "invalid_security_server", "invalid_signature_value", "invalid_soap",
        "invalid_soap_action", "invalid_xml", "io_error", "key_not_found", "logging_failed",
        "maintenance_mode", "malformed_global_conf", "malformed_hash_chain",
        "malformed_optional_parts_conf", "malformed_server_conf", "malformed_signature",
        "mime_parsing_failed", "missing_body", "missing_header", "missing_header_field",
        "missing_rest", "missing_signature", "missing_soap", "network_error",
        "service_disabled", "service_malformed_url", "service_missing_url", "service_type",
        "signature_verification", "ssl_authentication_failed", "timestamping_failed",
        "unknown_host", "unknown_member", "unknown_service",
    }
)  # fmt: skip
