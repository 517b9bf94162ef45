// golang.org/x/oauth2/clientcredentials: the *http.Client that its Config gives, one for all callers.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// version is set by the linker where there are no modules to read it from.
var version = ""

func main() {
	config := clientcredentials.Config{
		TokenURL:     os.Args[1],
		ClientID:     os.Args[3],
		ClientSecret: os.Args[4],
		// Left to find out, it asks twice for each failure.
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	client := config.Client(context.Background())
	fmt.Printf("ready golang.org/x/oauth2 %s, %s\n", libraryVersion(), runtime.Version())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var calls, gap, timeout int
		var url string
		if _, err := fmt.Sscan(lines.Text(), &calls, &gap, &timeout, &url); err != nil {
			panic(err)
		}
		outcomes := make([]string, calls)
		var callers sync.WaitGroup
		for number := range outcomes {
			callers.Add(1)
			go func(number int) {
				defer callers.Done()
				time.Sleep(time.Duration(number*gap) * time.Millisecond)
				outcomes[number] = call(client, url, time.Duration(timeout)*time.Millisecond)
			}(number)
		}
		callers.Wait()
		fmt.Println(strings.Join(outcomes, " "))
	}
}

func call(client *http.Client, url string, timeout time.Duration) string {
	start := time.Now()
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	outcome, err := get(ctx, client, url)
	if errors.Is(err, context.DeadlineExceeded) {
		outcome = "timeout"
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		outcome = "error"
	}
	return fmt.Sprintf("%s:%d", outcome, time.Since(start).Milliseconds())
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return fmt.Sprint(response.StatusCode), err
}

func libraryVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		for _, dependency := range info.Deps {
			if dependency.Path == "golang.org/x/oauth2" {
				return dependency.Version
			}
		}
	}
	return version
}
