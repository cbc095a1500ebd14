package org.example.greeting;

/** What is said to whom. */
public record Greeting(String name) {
    @Override
    public String toString() {
        return "hello from " + name;
    }
}
