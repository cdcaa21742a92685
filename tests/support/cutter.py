"""A TCP proxy in front of a broker, to cut connections (RST) or to freeze them (nothing passes, nobody is told)."""
import contextlib
import socket
import struct
import threading


class Proxy:
    def __init__(self, target):
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.pairs = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, 5)
            except OSError:  # the broker is away: as if it were dialled itself
                self._reset(near)
                continue
            frozen = threading.Event()
            with self.lock:
                self.pairs.append((near, far, frozen))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink, frozen), daemon=True).start()

    def _pump(self, source, sink, frozen):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if frozen.is_set():
                    return
                sink.sendall(data)
        if not frozen.is_set():
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _reset(end):
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
        end.close()

    def cut(self):
        """Resets what is connected; what dials anew gets through."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for near, far, frozen in pairs:
            frozen.set()
            self._reset(near)
            self._reset(far)
        return len(pairs)

    def freeze(self):
        """What is connected stays so, and nothing passes any more; what dials anew gets through."""
        with self.lock:
            for _, _, frozen in self.pairs:
                frozen.set()
            return len(self.pairs)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        self.cut()
