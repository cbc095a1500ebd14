package org.example;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.server.Server;

/** Jetty as a library, with servlets: `/` greets, `/health` says that it is up. */
public final class Main {
    private static final class Text extends HttpServlet {
        private final String text;

        Text(String text) {
            this.text = text;
        }

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.setContentType("text/plain");
            response.getWriter().println(text);
        }
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        ServletContextHandler context = new ServletContextHandler("/");
        context.addServlet(new Text("hello from Jetty"), "/");
        context.addServlet(new Text("ok"), "/health");
        Server server = new Server(port);
        server.setHandler(context);
        // On SIGTERM no new connection is taken, and answers under way end first.
        server.setStopAtShutdown(true);
        server.setStopTimeout(5000);
        server.start();
        server.join();
    }
}
