"""Sends an event to the collector until it is answered, and prints the answer: send.py <event.json> <idempotency key>"""
import os, sys, time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

def send(event: bytes, name: str) -> str:
    """Returns the answer once the event is durable. Raises HTTPError with the collector's reason where it refuses the event."""
    key = os.environ["COLLECTOR_KEY"]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name, "Content-Type": "application/json"}
    for _ in range(60):
        wait = "1"
        try:
            with urlopen(Request(os.environ["COLLECTOR_URL"] + "/v1/events", event, headers), timeout=60) as answer:
                return answer.read().decode()
        except HTTPError as refusal:
            if refusal.code not in (408, 429) and refusal.code < 500:
                raise
            problem, wait = refusal, refusal.headers.get("Retry-After", wait)
        except (OSError, HTTPException) as lost:  # nobody listens, or the connection broke
            problem = lost
        print(f"{problem}, again in {wait} s", file=sys.stderr, flush=True)
        time.sleep(int(wait))
    raise TimeoutError("The collector did not answer; send the same again later.")

try:
    with open(sys.argv[1], "rb") as file:
        print(send(file.read(), sys.argv[2]))
except HTTPError as refusal:
    sys.exit(refusal.read().decode())
