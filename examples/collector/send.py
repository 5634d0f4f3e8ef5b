"""Sends an event to the collector until it is answered, and prints the answer: send.py <event.json> <idempotency key>"""
import os, sys, time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

class StayHere(HTTPRedirectHandler):
    redirect_request = lambda *_: None  # a page somewhere else that answers 200 has recorded nothing

def send(event: bytes, name: str) -> str:
    """Returns the answer once the event is durable. Raises HTTPError with the collector's reason where it refuses the event."""
    key = os.environ["COLLECTOR_KEY"]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name, "Content-Type": "application/json"}
    request = Request(os.environ["COLLECTOR_URL"] + "/v1/events", event, headers)
    for _ in range(60):
        after = ""
        try:
            with build_opener(StayHere).open(request, timeout=60) as answer:
                return answer.read().decode()
        except HTTPError as refusal:
            if refusal.code not in (408, 429) and refusal.code < 500:
                raise
            problem, after = refusal, refusal.headers.get("Retry-After", "")
        except (OSError, HTTPException) as lost:  # nobody listens, or the connection broke
            problem = lost
        wait = int(after) if after.isdigit() else 1
        print(f"{problem}, again in {wait} s", file=sys.stderr, flush=True)
        time.sleep(wait)
    raise TimeoutError("The collector did not answer; send the same again later.")

try:
    with open(sys.argv[1], "rb") as file:
        print(send(file.read(), sys.argv[2]))
except HTTPError as refusal:
    sys.exit(refusal.read().decode() or str(refusal))
