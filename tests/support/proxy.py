"""A TCP proxy between a client and a server of a test: it counts, cuts, freezes and refuses."""
import socket
import struct
import threading

CHUNK_BYTES = 256 << 10


class Proxy:
    """with Proxy() as proxy: proxy.target = port; clients dial proxy.port.

    cut(direction, count): once, when so many bytes ("up": to the server, "down": from it) have passed from now on, the
    connection they pass on is reset on both sides ("down": the client may read what had passed, and then its end);
    then_refuse: and nobody gets through from then on. refuse: new connections
    are closed at once and old ones reset. cut_all, freeze: for what is connected now, and they say how many that is; what dials
    anew gets through. Of what is frozen nothing passes any more, and nobody is told."""

    def __init__(self, target=None):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.passed = {"up": 0, "down": 0}
        self.cuts = {}
        self.cut_count = 0
        self.connections_count = 0
        self.refuses = False
        self.refuses_after_cut = False
        self.pairs = set()
        self.frozen = set()
        self.threads = []

    def cut(self, direction, count, then_refuse=False):
        with self.lock:
            self.cuts[direction] = self.passed[direction] + count
            self.refuses_after_cut = then_refuse

    def refuse(self, refuses=True):
        with self.lock:
            self.refuses = refuses
            pairs = list(self.pairs) if refuses else []
        for pair in pairs:
            self._reset(pair)

    def cut_all(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self._reset(pair)
        return len(pairs)

    def freeze(self):
        with self.lock:
            self.frozen |= self.pairs
            return len(self.pairs)

    @staticmethod
    def _reset(pair):
        for end in pair:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _is_cut(self, direction, count):
        with self.lock:
            self.passed[direction] += count
            if direction in self.cuts and self.passed[direction] >= self.cuts[direction]:
                del self.cuts[direction]
                self.cut_count += 1
                self.refuses = self.refuses_after_cut
                return True
            return False

    def _pump(self, direction, source, sink, pair):
        try:
            while data := source.recv(CHUNK_BYTES):
                if self._is_cut(direction, len(data)):
                    self._reset(pair if direction == "up" else (source,))
                    break
                if pair not in self.frozen:
                    sink.sendall(data)
            if pair not in self.frozen:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(pair)

    def _connection(self, client):
        with client:
            with self.lock:
                self.connections_count += 1
                refuses = self.refuses
            if refuses:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                self._reset((client,))
                return
            with server:
                pair = (client, server)
                with self.lock:
                    self.pairs.add(pair)
                up = threading.Thread(target=self._pump, args=("up", client, server, pair), daemon=True)
                up.start()
                self._pump("down", server, client, pair)
                up.join()
                with self.lock:
                    self.pairs.discard(pair)
                    self.frozen.discard(pair)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._connection, args=(client,), daemon=True)
            thread.start()

    def __enter__(self):
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join()
        self.refuse()
