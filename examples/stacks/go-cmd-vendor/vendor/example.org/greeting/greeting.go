// Package greeting is a module of its own, in the repository of the program.
package greeting

// Of makes a greeting.
func Of(name string) string { return "hello from " + name + "\n" }
