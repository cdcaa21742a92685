"""karton_latency.py KARTON_INI COUNT: time from send_task to process of an idle Karton; prints p50 and p99 in ms.

Runs with karton-core; producer and consumer are two processes, as in ours.
"""
import multiprocessing
import sys
import time

from karton.core import Config, Karton, Producer, Task


def consume(ini, pipe):
    class Latency(Karton):
        identity = "bench.latency"
        filters = [{"type": "latency"}]

        def process(self, task):
            pipe.send(time.monotonic())

    Latency(Config(ini)).loop()


def main():
    ini, count = sys.argv[1], int(sys.argv[2])
    ours, theirs = multiprocessing.Pipe()
    consumer = multiprocessing.Process(target=consume, args=(ini, theirs), daemon=True)
    consumer.start()
    producer = Producer(Config(ini), identity="bench")
    elapsed = []
    try:
        for index in range(-20, count):
            sent = time.monotonic()
            producer.send_task(Task({"type": "latency"}))
            while not ours.poll(0.5):
                if index == -20 and time.monotonic() - sent < 60:  # the consumer registers meanwhile
                    producer.send_task(Task({"type": "latency"}))
            started = ours.recv()
            while ours.poll(0.2 if index == -20 else 0.002):
                ours.recv()
            if index >= 0:
                elapsed.append(started - sent)
    finally:
        consumer.kill()
        consumer.join()
    elapsed.sort()
    print(f"{elapsed[len(elapsed) // 2] * 1e3:.4f} {elapsed[len(elapsed) * 99 // 100] * 1e3:.4f}")


if __name__ == "__main__":
    main()
