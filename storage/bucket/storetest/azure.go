package storetest

import (
	"encoding/base64"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// An Azure is what a client needs to know of a store that speaks like Azure Blob Storage.
type Azure struct {
	Endpoint     string // http://host:port
	Account, Key string
}

// Azurite runs Microsoft's own stand-in, with one account.
func Azurite(t testing.TB) Azure {
	t.Helper()
	addr := freeAddr(t)
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	a := Azure{
		Endpoint: "http://" + addr, Account: "storetest",
		Key: base64.StdEncoding.EncodeToString([]byte("storetest-azurite-secret")),
	}
	script := child.Tool(t, "azurite", "azurite/node_modules/azurite/dist/src/blob/main.js")
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("%v: run scripts/tools.sh azurite", err)
	}
	start(t, "azurite", addr, "/", []string{
		node, script, "--blobHost", ip, "--blobPort", port, "--location", t.TempDir(),
		"--skipApiVersionCheck", "--disableTelemetry",
	}, []string{"AZURITE_ACCOUNTS=" + a.Account + ":" + a.Key})
	return a
}

// Through is the same store by another endpoint, such as that of Toxi or Liar.
func (a Azure) Through(endpoint string) Azure {
	a.Endpoint = endpoint
	return a
}

// URL is how gocloud opens a container, given Env or EnvSAS. The endpoint stands in these:
// beside a token in the environment gocloud takes none from a URL.
func (a Azure) URL(container string) string { return "azblob://" + container }

// Env is the environment of a client's process that may do everything.
func (a Azure) Env() []string { return append(a.where(), "AZURE_STORAGE_KEY="+a.Key) }

// EnvSAS is the environment of a client's process that holds only a token of SAS.
func (a Azure) EnvSAS(token string) []string {
	return append(a.where(), "AZURE_STORAGE_SAS_TOKEN="+token)
}

func (a Azure) where() []string {
	return []string{
		"AZURE_STORAGE_ACCOUNT=" + a.Account, "AZURE_STORAGE_DOMAIN=" + host(a.Endpoint),
		"AZURE_STORAGE_PROTOCOL=http", "AZURE_STORAGE_IS_LOCAL_EMULATOR=true",
	}
}

// Client is the bare SDK, which here tries once, with all rights.
func (a Azure) Client(t testing.TB) *azblob.Client {
	t.Helper()
	c, err := azblob.NewClientWithSharedKeyCredential(a.service(), a.credential(t), a.options(t))
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	return c
}

// ClientSAS is the bare SDK with no more rights than a token of SAS gives.
func (a Azure) ClientSAS(t testing.TB, token string) *azblob.Client {
	t.Helper()
	c, err := azblob.NewClientWithNoCredential(a.service()+"?"+token, a.options(t))
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	return c
}

// Container makes a container with a name of its own.
func (a Azure) Container(t testing.TB) string {
	t.Helper()
	name := randomName("test")
	if _, err := a.Client(t).CreateContainer(t.Context(), name, nil); err != nil {
		t.Fatalf("make container %q: %v", name, err)
	}
	return name
}

// SAS is a token for one container, good for an hour.
func (a Azure) SAS(t testing.TB, container string, may sas.ContainerPermissions) string {
	t.Helper()
	signed, err := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPSandHTTP, ContainerName: container, Permissions: may.String(),
		StartTime: time.Now().Add(-time.Minute).UTC(), ExpiryTime: time.Now().Add(time.Hour).UTC(),
	}.SignWithSharedKey(a.credential(t))
	if err != nil {
		t.Fatalf("sign a token: %v", err)
	}
	return signed.Encode()
}

// service is the account's own URL: on a bare address its name comes first in the path.
func (a Azure) service() string { return a.Endpoint + "/" + a.Account + "/" }

func (a Azure) credential(t testing.TB) *azblob.SharedKeyCredential {
	t.Helper()
	c, err := azblob.NewSharedKeyCredential(a.Account, a.Key)
	if err != nil {
		t.Fatalf("credential: %v", err)
	}
	return c
}

func (a Azure) options(t testing.TB) *azblob.ClientOptions {
	return &azblob.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: httpClient(t), Retry: policy.RetryOptions{MaxRetries: -1},
	}}
}
