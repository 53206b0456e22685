// Hostile does what a session must not get away with. Each act says on
// standard output how it went.
//
//	connect ADDRESS   tries to open a TCP connection
//	fork N            starts N processes that sleep
//	fill FILE MIB     writes a file
//	sleep             is one of those
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "connect":
		conn, err := net.DialTimeout("tcp", args[1], 2*time.Second)
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		defer conn.Close()
		fmt.Println("connected")
	case len(args) == 2 && args[0] == "fork":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			fmt.Println(err)
			return
		}
		started := 0
		for range n {
			if exec.Command("/hostile", "sleep").Start() != nil {
				break
			}
			started++
		}
		fmt.Println("started", started)
	case len(args) == 3 && args[0] == "fill":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			fmt.Println(err)
			return
		}
		f, err := os.Create(args[1])
		for i := 0; i < n && err == nil; i++ {
			_, err = f.Write(make([]byte, 1<<20))
		}
		fmt.Println("wrote:", err)
		time.Sleep(time.Hour)
	case len(args) == 1 && args[0] == "sleep":
		time.Sleep(time.Hour)
	}
}
