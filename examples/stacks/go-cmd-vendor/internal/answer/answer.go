// Package answer holds what every program of ours answers.
package answer

import (
	"io"
	"net/http"
)

// Up says that the program is up.
func Up(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }
