package hosttest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// AWS answers a host: instance metadata, Secrets Manager and CloudWatch Logs.
// It accepts calls that are signed with the keys it gave, and refuses others as
// AWS does.
type AWS struct {
	// Region and SecretName are those of the host's secret; Secret is its text.
	// Without a text, the host may not read it.
	Region, SecretName, Secret string
	// Instance is the host's id. Empty is one of the package's own.
	Instance string
	// IPv6 are the VPC's ranges, with line ends between; none by default.
	IPv6 string

	mu     sync.Mutex
	events []string              // of the log
	fail   func(path string) int // see Break
}

const (
	instanceID  = "i-0123456789abcdef0"
	macAddress  = "02:00:00:00:00:01"
	accessKey   = "ASIAHOSTTEST"
	secretKey   = "host/secret+key"
	roleToken   = "token/of+the=role"
	imdsToken   = "imds-token"
	jsonContent = "application/x-amz-json-1.1"
)

// SetSecret changes what hosts read from now on.
func (a *AWS) SetSecret(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Secret = text
}

// SetInstance makes the host another instance from now on.
func (a *AWS) SetInstance(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Instance = id
}

// Break has requests for metadata fail from now on, with the status that f
// returns for a path, unless that is 0. Nil lets all succeed again.
func (a *AWS) Break(f func(path string) int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = f
}

// broken is the status with which a request fails, or 0.
func (a *AWS) broken(path string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail == nil {
		return 0
	}
	return a.fail(path)
}

// Log is what the host wrote to its log stream.
func (a *AWS) Log() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.events, "\n")
}

// serve answers in the network beyond a host until the test ends.
func (a *AWS) serve(m *Machine) {
	m.Helper()
	for address, handler := range map[string]http.HandlerFunc{metadataAddress + ":80": a.metadata, endpoint: a.service} {
		s := &http.Server{Handler: handler}
		listener := m.Listen(address)
		go s.Serve(listener)
		m.Cleanup(func() { s.Close() })
	}
}

// metadata is the instance metadata service, version 2
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).
func (a *AWS) metadata(w http.ResponseWriter, r *http.Request) {
	const role, network = "iam/security-credentials/", "network/interfaces/macs/" + macAddress + "/"
	path, isData := strings.CutPrefix(r.URL.Path, "/latest/meta-data/")
	broken := a.broken(path)
	switch {
	case broken != 0:
		http.Error(w, "", broken)
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
		io.WriteString(w, imdsToken)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != imdsToken:
		http.Error(w, "", http.StatusUnauthorized)
	case isData && path == "instance-id":
		a.mu.Lock()
		defer a.mu.Unlock()
		io.WriteString(w, cmp.Or(a.Instance, instanceID))
	case isData && path == "mac":
		io.WriteString(w, macAddress)
	case isData && path == network:
		io.WriteString(w, "mac\nvpc-ipv4-cidr-blocks")
		if a.IPv6 != "" {
			io.WriteString(w, "\nvpc-ipv6-cidr-blocks")
		}
	case isData && path == network+"vpc-ipv4-cidr-blocks":
		io.WriteString(w, VPC+"\n"+VPCToo)
	case isData && path == network+"vpc-ipv6-cidr-blocks" && a.IPv6 != "":
		io.WriteString(w, a.IPv6)
	case isData && path == role:
		io.WriteString(w, "atelier-host")
	case isData && path == role+"atelier-host":
		json.NewEncoder(w).Encode(map[string]string{"Code": "Success", "AccessKeyId": accessKey, "SecretAccessKey": secretKey, "Token": roleToken})
	default:
		http.NotFound(w, r)
	}
}

// service is Secrets Manager and CloudWatch Logs.
func (a *AWS) service(w http.ResponseWriter, r *http.Request) {
	refuse := func(code, message string) {
		w.Header().Set("Content-Type", jsonContent)
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	service := "logs"
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.") {
		service = "secretsmanager"
	}
	if problem := a.verify(r, body, service); problem != "" {
		refuse("InvalidSignatureException", problem)
		return
	}
	var in struct {
		SecretID      string `json:"SecretId"`
		LogGroupName  string
		LogStreamName string
		LogEvents     []struct{ Message string }
	}
	if r.Header.Get("Content-Type") != jsonContent || json.Unmarshal(body, &in) != nil {
		refuse("SerializationException", "not JSON")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.Header.Get("X-Amz-Target") {
	case "secretsmanager.GetSecretValue":
		if a.Secret == "" || in.SecretID != a.SecretName {
			refuse("AccessDeniedException", "atelier-host is not authorized to perform secretsmanager:GetSecretValue")
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"Name": a.SecretName, "SecretString": a.Secret})
	case "Logs_20140328.CreateLogStream":
		a.events = append(a.events, "stream "+in.LogGroupName+" "+in.LogStreamName)
	case "Logs_20140328.PutLogEvents":
		for _, e := range in.LogEvents {
			a.events = append(a.events, e.Message)
		}
	default:
		refuse("UnknownOperationException", r.Header.Get("X-Amz-Target"))
	}
}

// verify says what is wrong with the signature of a request
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
func (a *AWS) verify(r *http.Request, body []byte, service string) string {
	var credential, signed, signature string
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			signature = value
		}
	}
	date := r.Header.Get("X-Amz-Date")
	scope := strings.Join([]string{date[:min(8, len(date))], a.Region, service, "aws4_request"}, "/")
	if credential != accessKey+"/"+scope {
		return "credential is " + credential + ", want " + accessKey + "/" + scope
	}
	names := strings.Split(signed, ";")
	for _, name := range []string{"host", "x-amz-date", "x-amz-security-token", "x-amz-target"} {
		if !slices.Contains(names, name) {
			return name + " is not signed: " + signed
		}
	}
	if r.Header.Get("X-Amz-Security-Token") != roleToken {
		return "another session's token"
	}
	var request strings.Builder
	request.WriteString(r.Method + "\n/\n\n")
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		request.WriteString(name + ":" + value + "\n")
	}
	request.WriteString("\n" + signed + "\n" + hash(body))
	key := []byte("AWS4" + secretKey)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	if want := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hash([]byte(request.String())))); signature != want {
		return fmt.Sprintf("the signature does not match for\n%s", request.String())
	}
	return ""
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
