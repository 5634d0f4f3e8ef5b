// Sends an event to the collector until it is answered, and prints the answer: java Send.java <event.json> <idempotency key>
import java.io.IOException;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.time.Duration;

class Send {
    /** The answer, once the event is durable. @throws IllegalArgumentException with the collector's reason where it refuses */
    static String send(byte[] event, String name) throws InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(System.getenv("COLLECTOR_URL") + "/v1/events"))
            .headers("Authorization", "Bearer " + System.getenv("COLLECTOR_KEY"), "Idempotency-Key", name)
            .header("Content-Type", "application/json").timeout(Duration.ofSeconds(60))
            .POST(HttpRequest.BodyPublishers.ofByteArray(event)).build();
        var client = HttpClient.newHttpClient();
        for (var sent = 0; sent < 60; sent++) {
            var wait = 1L;
            try {
                var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                var status = answer.statusCode();
                if (status >= 200 && status < 300) return answer.body();
                if (status < 500 && status != 408 && status != 429) throw new IllegalArgumentException(answer.body());
                var after = answer.headers().firstValue("Retry-After").filter(it -> it.matches("\\d{1,6}"));
                wait = after.map(Long::valueOf).orElse(wait);
                System.err.println(status + ", again in " + wait + " s");
            } catch (IOException lost) { // nobody listens, or the connection broke
                System.err.println("no answer, again in " + wait + " s");
            }
            Thread.sleep(wait * 1000);
        }
        throw new IllegalStateException("The collector did not answer; send the same again later.");
    }

    public static void main(String[] args) throws Exception {
        System.out.println(send(Files.readAllBytes(Path.of(args[0])), args[1]));
    }
}
