#!/bin/sh
# Sends an event to the collector until it is answered, and prints the answer: send.sh <event.json> <idempotency key>
# curl sends the same again where nobody answers, and on 408, 429 and 5xx, after the time in Retry-After.
# The key stands on standard input: arguments are there for every user of the machine to see.
answer=$(mktemp) && trap 'rm -f "$answer"' EXIT
status=$(curl --no-progress-meter --retry 60 --retry-delay 1 --retry-all-errors --max-time 60 \
  --header @- --header "Idempotency-Key: $2" --json "@$1" \
  --output "$answer" --write-out '%{http_code}' "$COLLECTOR_URL/v1/events" <<END
Authorization: Bearer $COLLECTOR_KEY
END
) || exit
case $status in
  2*) cat "$answer" ;;
  *) cat "$answer" >&2; exit 1 ;;
esac
