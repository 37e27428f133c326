// The Go peer: socket.io for Go with its defaults on net/http, and the handlers of the bench.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

const library = "github.com/zishang520/socket.io/servers/socket/v3"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println(versions())
		return
	}

	io := socket.NewServer(nil, nil)
	io.On("connection", func(clients ...any) {
		client := clients[0].(*socket.Socket)
		client.On("echo", func(args ...any) {
			acknowledge := args[1].(socket.Ack)
			acknowledge(args[:1], nil)
		})
		client.On("bin", func(args ...any) {
			client.Emit("bin", args[0])
		})
		client.On("cast", func(args ...any) {
			io.Emit("cast", args[0])
		})
		client.On("join", func(args ...any) {
			client.Join(room(args))
			acknowledge := args[1].(socket.Ack)
			acknowledge(args[:1], nil)
		})
		client.On("leave", func(args ...any) {
			client.Leave(room(args))
			acknowledge := args[1].(socket.Ack)
			acknowledge(args[:1], nil)
		})
		client.On("room", func(args ...any) {
			io.To(room(args)).Emit("room", args[1])
		})
	})
	http.Handle("/socket.io/", io.ServeHandler(nil))

	// The length of the queue of connections is the system's own limit.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}

// The room that an event names first.
func room(args []any) socket.Room {
	return socket.Room(args[0].(string))
}

// What this program was built of.
func versions() string {
	built, _ := debug.ReadBuildInfo()
	for _, module := range built.Deps {
		if module.Path == library {
			return fmt.Sprintf("zishang520/socket.io %s, Go %s", module.Version[1:], runtime.Version()[2:])
		}
	}
	panic("built without " + library)
}
