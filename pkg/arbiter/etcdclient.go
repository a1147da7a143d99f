package arbiter

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"mcctl/pkg/clock"
)

// etcdClient speaks etcd's JSON API (gRPC gateway, 3.4 and later) over net/http. The
// library with gRPC in it makes every process of mcctl 5 MB larger, also where no etcd
// is used, and the program 6.5 MB; this needs six calls of it.
type etcdClient struct {
	cfg   EtcdConfig
	clock clock.Clock
	http  *http.Client

	mu    sync.Mutex
	at    int // the endpoint that answered last: tried first
	token string
}

// etcdError is what an etcd answered instead of doing what it was asked.
type etcdError struct {
	Code int    `json:"code"` // of gRPC
	Text string `json:"message"`
}

func (e *etcdError) Error() string { return e.Text }

// The codes of gRPC that matter here.
const (
	codeInvalid         = 3
	codeNotFound        = 5
	codeDenied          = 7
	codeExhausted       = 8
	codePrecondition    = 9
	codeUnavailable     = 14
	codeUnauthenticated = 16
)

// errForeign: what answers there is not an etcd that can be used. Trying again soon
// is of no use.
var errForeign = errors.New("not a usable etcd")

func newEtcdClient(w EtcdWorld, cfg EtcdConfig) (*etcdClient, error) {
	if w.Web == nil {
		t, err := etcdTransport(w, cfg)
		if err != nil {
			return nil, err
		}
		w.Web = t
	}
	return &etcdClient{cfg: cfg, clock: w.Clock, http: &http.Client{Transport: w.Web}}, nil
}

// call asks until an endpoint answers. What must not happen twice (once) goes to
// another endpoint only if nothing was sent to the one before.
func (c *etcdClient) call(ctx context.Context, path string, request, answer any, once bool) error {
	c.mu.Lock()
	first := c.at
	c.mu.Unlock()
	var problems []string
	foreign := 0
	for i := range c.cfg.Endpoints {
		at := (first + i) % len(c.cfg.Endpoints)
		sent, err := c.authorized(ctx, c.cfg.Endpoints[at], path, request, answer, once)
		var said *etcdError
		if err == nil || errors.As(err, &said) && said.Code != codeUnavailable {
			c.prefer(at)
			return err
		}
		c.prefer((at + 1) % len(c.cfg.Endpoints))
		if errors.Is(err, errForeign) {
			foreign++
		}
		if text := c.cfg.Endpoints[at] + ": " + c.plain(err); !slices.Contains(problems, text) {
			problems = append(problems, text)
		}
		if once && sent || ctx.Err() != nil {
			break
		}
	}
	text := strings.Join(problems, "; ")
	if foreign == len(c.cfg.Endpoints) {
		return fmt.Errorf("%w: %s", errForeign, text)
	}
	return errors.New(text)
}

func (c *etcdClient) prefer(endpoint int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = endpoint
}

// authorized asks one endpoint and, if it does not take the token any more, gets a new
// one and asks again: a refused token means that nothing was done.
func (c *etcdClient) authorized(ctx context.Context, endpoint, path string, request, answer any, once bool) (sent bool, err error) {
	for again := false; ; again = true {
		c.mu.Lock()
		token := c.token
		c.mu.Unlock()
		if token == "" && c.cfg.Username != "" {
			if token, err = c.authenticate(ctx, endpoint); err != nil {
				return false, err
			}
		}
		sent, err = c.post(ctx, endpoint, path, token, request, answer, once)
		if again || c.cfg.Username == "" || !isTokenTrouble(err) {
			return sent, err
		}
		c.mu.Lock()
		c.token = ""
		c.mu.Unlock()
	}
}

func isTokenTrouble(err error) bool {
	var said *etcdError
	return errors.As(err, &said) && (said.Code == codeUnauthenticated ||
		said.Code == codeInvalid && (strings.Contains(said.Text, "auth") || strings.Contains(said.Text, "user name is empty")))
}

// authenticate gets a token. An etcd with authentication turned off gives none and
// needs none.
func (c *etcdClient) authenticate(ctx context.Context, endpoint string) (string, error) {
	password, err := os.ReadFile(c.cfg.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read arbiter.etcd.password_file: %w", err)
	}
	request := struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}{c.cfg.Username, strings.TrimRight(string(password), "\r\n")}
	var answer struct {
		Token string `json:"token"`
	}
	_, err = c.post(ctx, endpoint, "/v3/auth/authenticate", "", request, &answer, false)
	var said *etcdError
	if errors.As(err, &said) && said.Code == codePrecondition {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("log in as %s: %w", c.cfg.Username, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = answer.Token
	return answer.Token, nil
}

// post is one attempt. sent tells whether the endpoint may have got the request.
func (c *etcdClient) post(ctx context.Context, endpoint, path, token string, request, answer any, once bool) (sent bool, err error) {
	if !once {
		var cancel context.CancelFunc
		ctx, cancel = c.clock.Timeout(ctx, c.cfg.Timeout/3, nil)
		defer cancel()
	}
	connected := make(chan struct{}, 1)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}})
	r, err := c.send(ctx, endpoint, path, token, request)
	sent = len(connected) > 0
	if err != nil {
		return sent, err
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return sent, err
	}
	if r.StatusCode == http.StatusOK {
		if json.Unmarshal(text, answer) != nil {
			return sent, c.foreign(ctx, endpoint, "")
		}
		return sent, nil
	}
	said := &etcdError{}
	if json.Unmarshal(text, said) != nil || said.Code == 0 {
		return sent, c.foreign(ctx, endpoint, string(text))
	}
	return sent, said
}

func (c *etcdClient) send(ctx context.Context, endpoint, path, token string, request any) (*http.Response, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode question: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	return c.http.Do(r)
}

// foreign finds out what answers there, if not an etcd that can be used.
func (c *etcdClient) foreign(ctx context.Context, endpoint, said string) error {
	if strings.Contains(said, "HTTP request to an HTTPS server") {
		return fmt.Errorf("%w: it wants TLS: write https:// in arbiter.etcd.endpoints", errForeign)
	}
	var version struct {
		Server string `json:"etcdserver"`
	}
	if r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/version", nil); err == nil {
		if answer, err := c.http.Do(r); err == nil {
			_ = json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&version)
			_ = answer.Body.Close()
		}
	}
	var major, minor int
	_, _ = fmt.Sscanf(version.Server, "%d.%d", &major, &minor)
	switch {
	case version.Server == "":
		return fmt.Errorf("%w: what answers there is not etcd: check arbiter.etcd.endpoints", errForeign)
	case major < 3 || major == 3 && minor < 4:
		return fmt.Errorf("%w: it is etcd %s, but 3.4 or newer is needed", errForeign, version.Server)
	}
	return fmt.Errorf("%w: etcd %s does not answer its JSON API there: start it with --enable-grpc-gateway", errForeign, version.Server)
}

// plain is an error in words that are the same at every attempt, in one line.
func (c *etcdClient) plain(err error) string {
	var dial *net.OpError
	var authority x509.UnknownAuthorityError
	var web *url.Error
	if errors.As(err, &web) {
		err = web.Err
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no process listens there"
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "it speaks without TLS: write http:// in arbiter.etcd.endpoints, or give it certificates"
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "first record does not look like a TLS handshake"):
		return "what answers there is not etcd: check arbiter.etcd.endpoints"
	case errors.As(err, &authority):
		return "it has a certificate of another authority: check the address, and arbiter.etcd.ca"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it closed the connection without an answer: check that it is etcd, and whether it wants TLS"
	case errors.As(err, &dial) && dial.Op == "remote error":
		return fmt.Sprintf("it does not accept our certificate (%v)", dial.Err)
	case errors.As(err, &dial):
		return cmp.Or(dial.Err, err).Error()
	}
	return strings.TrimPrefix(text, errForeign.Error()+": ")
}

// watch calls changed whenever something below the keys changes, until ctx ends or the
// endpoint does. It begins at the present, so no compaction can be in its way.
func (c *etcdClient) watch(ctx context.Context, request any, changed func()) error {
	c.mu.Lock()
	endpoint, token := c.cfg.Endpoints[c.at], c.token
	c.mu.Unlock()
	r, err := c.send(ctx, endpoint, "/v3/watch", token, request)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	for d := json.NewDecoder(r.Body); ; changed() {
		var line struct {
			Result *struct {
				Canceled bool `json:"canceled"`
			} `json:"result"`
		}
		if err := d.Decode(&line); err != nil {
			return err
		}
		if line.Result == nil || line.Result.Canceled {
			return errors.New("the watch was ended")
		}
	}
}
