"""A document archive written with fastapi-xroad-soap; runs in that program's own environment.

python fastapi_provider.py      # says its port in one line, then serves /service
"""

import socket

import uvicorn
from fastapi_xroad_soap import MessageBody, SoapService, XroadHeader
from fastapi_xroad_soap.elements import Integer, String, SwaRef

archive = SoapService(name="Archive", this_namespace="http://archive.example/v1")


class CountLetters(MessageBody, tag="countLetters"):
    text = String()


class CountLettersResponse(MessageBody, tag="countLettersResponse"):
    count = Integer()


class StoreDocument(MessageBody, tag="storeDocument"):
    title = String()
    document = SwaRef.Element()


class StoreDocumentResponse(MessageBody, tag="storeDocumentResponse"):
    size = Integer()
    receipt = SwaRef.Element()


class CopyDocument(MessageBody, tag="copyDocument"):
    title = String()
    document = SwaRef.Element()


class CopyDocumentResponse(MessageBody, tag="copyDocumentResponse"):
    original = SwaRef.Element()
    duplicate = SwaRef.Element()


@archive.action("countLetters")
def count_letters(body: CountLetters, header: XroadHeader) -> CountLettersResponse:
    return CountLettersResponse(count=len(body.text))


@archive.action("storeDocument")
def store_document(body: StoreDocument, header: XroadHeader) -> StoreDocumentResponse:
    """Answer one file with another: its bytes the other way round."""
    content = body.document.content
    receipt = SwaRef.File(name="receipt.bin", content=content[::-1])
    return StoreDocumentResponse(size=len(content), receipt=receipt)


@archive.action("copyDocument")
def copy_document(body: CopyDocument, header: XroadHeader) -> CopyDocumentResponse:
    """Answer with two files, which this library packs into one attachment of type multipart."""
    content = body.document.content
    return CopyDocumentResponse(
        original=SwaRef.File(name="original.bin", content=content),
        duplicate=SwaRef.File(name="duplicate.bin", content=content),
    )


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(archive, log_level="warning")).run(sockets=[listener])
