<?php
// Sends an event to the collector until it is answered, and prints the answer: php send.php <event.json> <idempotency key>

/** Returns the answer once the event is durable. Throws with the collector's reason where it refuses the event. */
function send(string $event, string $name): string
{
    $key = getenv('COLLECTOR_KEY');
    $header = ["Authorization: Bearer $key", "Idempotency-Key: $name", 'Content-Type: application/json'];
    $http = ['method' => 'POST', 'content' => $event, 'header' => $header, 'timeout' => 60];
    $http += ['ignore_errors' => true, 'follow_location' => 0]; // a page somewhere else has recorded nothing
    for ($sent = 0; $sent < 60; $sent++) {
        $answer = @fopen(getenv('COLLECTOR_URL') . '/v1/events', 'r', false, stream_context_create(['http' => $http]));
        $head = $answer ? implode("\n", stream_get_meta_data($answer)['wrapper_data']) : '';
        $status = (int) (explode(' ', $head)[1] ?? 0); // 0: nobody listens, or the connection broke
        if ($status >= 200 && $status < 300) return stream_get_contents($answer);
        if ($status >= 300 && $status < 500 && !in_array($status, [408, 429])) {
            throw new RuntimeException(stream_get_contents($answer));
        }
        $wait = preg_match('/^retry-after: *(\d+)/im', $head, $found) ? (int) $found[1] : 1;
        fwrite(STDERR, ($status === 0 ? 'no answer' : $status) . ", again in $wait s\n");
        sleep($wait);
    }
    throw new RuntimeException('The collector did not answer; send the same again later.');
}

try {
    echo send(file_get_contents($argv[1]), $argv[2]), "\n";
} catch (RuntimeException $refusal) {
    fwrite(STDERR, $refusal->getMessage() . "\n");
    exit(1);
}
