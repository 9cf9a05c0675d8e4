"""A container that can only be listed: `listing_server.py COUNT`, for more blobs than Azurite can take in.

Azurite needs hours for 100,000 uploads: its clean-up looks at all of them again and again. The pages are those that
Azure's service gives (List Blobs, 2021-08-06).
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 5000
BLOB = (
    "<Blob><Name>b{0:07}.json</Name><Properties><Creation-Time>Tue, 24 Nov 2026 10:00:00 GMT</Creation-Time>"
    "<Last-Modified>Tue, 24 Nov 2026 10:00:00 GMT</Last-Modified><Etag>0x8DC{0:012X}</Etag>"
    "<Content-Length>19</Content-Length><Content-Type>application/octet-stream</Content-Type><Content-Encoding />"
    "<Content-Language /><Content-CRC64 /><Content-MD5>n9PWhXrNRcjFMGSDH0qF2g==</Content-MD5><Cache-Control />"
    "<Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
    "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"
    "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>"
)


class Listing(BaseHTTPRequestHandler):
    """Answers List Blobs."""

    protocol_version = "HTTP/1.1"
    count = 0
    pages: dict[int, bytes] = {}  # noqa: RUF012 - the server's, for all requests

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        first = int(query.get("marker", ["0"])[0])
        size = int(query.get("maxresults", [str(PAGE)])[0])
        body = self.page(first, size)
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self, first: int, size: int) -> bytes:
        end = min(first + size, self.count)
        if size != PAGE:
            return self.made(first, end)
        if first not in self.pages:
            self.pages[first] = self.made(first, end)
        return self.pages[first]

    def made(self, first: int, end: int) -> bytes:
        marker = f"<NextMarker>{end}</NextMarker>" if end < self.count else "<NextMarker />"
        blobs = "".join(map(BLOB.format, range(first, end)))
        head = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="input"><Blobs>'
        return f"{head}{blobs}</Blobs>{marker}</EnumerationResults>".encode()

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    Listing.count = int(sys.argv[1])
    with HTTPServer(("127.0.0.1", 0), Listing) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
