"""A small RTSP server for the tests: RFC 2326's OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN over TCP, with FFmpeg's own packets (H.264 in RTP) interleaved.

It plays a list of pictures to whoever connects, each connection the next list, and then ends the connection, politely or not.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

RATE = 12
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
SDP += "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"


class RtspServer:
    """`with RtspServer([pictures, …]) as address:` serves each list to one connection; `deaf` accepts and never answers.

    `polite`: a connection ends with RTCP's goodbye; otherwise it is cut.
    """

    def __init__(self, films: Sequence[Sequence[np.ndarray]], *, polite: bool = True, deaf: bool = False, pause: float = 1 / RATE) -> None:
        self.films, self.polite, self.deaf, self.pause = list(films), polite, deaf, pause
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.open: list[socket.socket] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        return f"rtsp://127.0.0.1:{self.listener.getsockname()[1]}/door"

    def __exit__(self, *_: object) -> None:
        for connection in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                self.connections += 1
                if self.deaf:
                    continue
                with contextlib.suppress(OSError), connection:
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        while line := file.readline().decode():
            method, headers = line.split(" ")[0], {}
            while header := file.readline().decode().strip():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            answer = {"OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", "SETUP": f"Transport: {headers.get('transport')}\r\n"}.get(
                method, ""
            )
            body = SDP if method == "DESCRIBE" else ""
            answer += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
            head = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\nSession: 1;timeout=60\r\n"
            connection.sendall(f"{head}{answer}\r\n{body}".encode())
            if method == "PLAY":
                self._play(connection, self.films.pop(0) if self.films else ())
                return
            if method == "TEARDOWN":
                return

    def _play(self, connection: socket.socket, film: Sequence[np.ndarray]) -> None:
        import av

        if not film:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", 0))
            packets.settimeout(0.05)

            def forward() -> None:
                with contextlib.suppress(TimeoutError):
                    while True:
                        packet = packets.recv(2048)
                        channel = 1 if 200 <= packet[1] <= 204 else 0  # RTCP goes on the second channel
                        if channel == 0 or self.polite:
                            connection.sendall(b"$" + bytes([channel]) + len(packet).to_bytes(2, "big") + packet)

            with av.open(f"rtp://127.0.0.1:{packets.getsockname()[1]}?pkt_size=1200", "w", format="rtp") as output:
                stream = output.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "preset": "ultrafast", "g": "6"})
                stream.width, stream.height, stream.pix_fmt = film[0].shape[1], film[0].shape[0], "yuv420p"
                stream.time_base = Fraction(1, RATE)
                for pixels in film:
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                    forward()
                    time.sleep(self.pause)
                output.mux(stream.encode())
            forward()
