// An echo server on Jetty 9. `java -cp ... JettyServer.java KEYSTORE` compiles and runs it.
import java.nio.ByteBuffer;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.websocket.api.RemoteEndpoint;
import org.eclipse.jetty.websocket.api.Session;
import org.eclipse.jetty.websocket.api.WebSocketListener;
import org.eclipse.jetty.websocket.api.WebSocketPingPongListener;
import org.eclipse.jetty.websocket.server.WebSocketHandler;
import org.eclipse.jetty.websocket.servlet.WebSocketServletFactory;

public class JettyServer {
    static final ScheduledExecutorService CLOCK = Executors.newScheduledThreadPool(1);

    static int number(String name) { return Integer.parseInt(System.getenv("INTEROP_" + name)); }

    public static class Echo implements WebSocketListener, WebSocketPingPongListener {
        private Session session;
        private ScheduledFuture<?> pings;

        public void onWebSocketConnect(Session opened) {
            session = opened;
            int seconds = number("PING");
            pings = CLOCK.scheduleAtFixedRate(() -> ping(""), seconds, seconds, TimeUnit.SECONDS);
        }

        private void ping(String payload) {
            try {
                session.getRemote().sendPing(ByteBuffer.wrap(payload.getBytes("UTF-8")));
            } catch (Exception gone) {
                pings.cancel(false);
            }
        }

        public void onWebSocketText(String text) {
            try {
                if (text.startsWith("#interop ")) obey(session.getRemote(), text.split(" "));
                else session.getRemote().sendString(text);
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        }

        private void obey(RemoteEndpoint remote, String[] words) throws Exception {
            switch (words[1]) {
                case "burst":
                    for (int n = 0; n < Integer.parseInt(words[2]); n++) remote.sendString("" + n);
                    break;
                case "fragments":
                    remote.sendPartialString("frag", false);
                    remote.sendPartialString("ment", false);
                    remote.sendPartialString("\u00e9d", true);
                    break;
                case "ping":
                    ping("there?");
                    break;
                case "close":
                    session.close(Integer.parseInt(words[2]), words[3]);
                    break;
                case "pour":
                    remote.sendString("pouring");
                    remote.sendBytes(ByteBuffer.allocate(Integer.parseInt(words[2])));
                    break;
            }
        }

        public void onWebSocketBinary(byte[] data, int offset, int length) {
            try {
                session.getRemote().sendBytes(ByteBuffer.wrap(data, offset, length));
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        }

        public void onWebSocketPing(ByteBuffer payload) {}

        public void onWebSocketPong(ByteBuffer payload) {
            if (payload.remaining() > 0) onWebSocketText("pong");
        }

        public void onWebSocketClose(int code, String reason) { pings.cancel(false); }

        public void onWebSocketError(Throwable cause) {}
    }

    public static void main(String[] arguments) throws Exception {
        Server server = new Server();
        ServerConnector plain = new ServerConnector(server);
        plain.setHost(System.getenv("INTEROP_HOST"));
        plain.setPort(number("PORT"));
        server.addConnector(plain);
        SslContextFactory.Server tls = new SslContextFactory.Server();
        tls.setKeyStorePath(arguments[0]);
        tls.setKeyStorePassword("interop");
        tls.setKeyStoreType("PKCS12");
        ServerConnector secure = new ServerConnector(server, tls);
        secure.setHost(System.getenv("INTEROP_HOST"));
        secure.setPort(number("TLS_PORT"));
        server.addConnector(secure);
        server.setHandler(new WebSocketHandler() {
            @Override
            public void configure(WebSocketServletFactory factory) {
                factory.getPolicy().setMaxTextMessageSize(number("LIMIT"));
                factory.getPolicy().setMaxBinaryMessageSize(number("LIMIT"));
                // It reads no Pong before its handler is done, so idle is told by the pings alone.
                factory.getPolicy().setIdleTimeout(2500L * number("PING"));
                factory.setCreator((request, response) -> {
                    String chosen = System.getenv("INTEROP_SUBPROTOCOL");
                    if (request.hasSubProtocol(chosen)) response.setAcceptedSubProtocol(chosen);
                    return new Echo();
                });
            }
        });
        server.start();
        server.join();
    }
}
