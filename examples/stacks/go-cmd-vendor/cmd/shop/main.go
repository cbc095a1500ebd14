// A program below cmd with a module in vendor: `/` greets, `/healthz` says that it is up.
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"example.org/greeting"
	"example.org/shop/internal/answer"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, greeting.Of("cmd and vendor"))
	})
	http.HandleFunc("GET /healthz", answer.Up)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
