package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// KubernetesConfig says which Lease, and how the API server is reached.
type KubernetesConfig struct {
	Kubeconfig string // file; as the Pod that this runs in where empty
	Namespace  string // the Pod's own, or the kubeconfig's, where empty
	Name       string
}

// namespaceFile is where a Pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// load is the client's configuration, and the namespace to use where none was given.
func (c KubernetesConfig) load() (*rest.Config, string, error) {
	if c.Kubeconfig == "" {
		return inPod(c.Namespace)
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig}
	file, err := rules.Load()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	loaded := clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{})
	cfg, err := loaded.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %q: %w", c.Kubeconfig, err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %q: %w", c.Kubeconfig, err)
	}
	return cfg, namespace, nil
}

func inPod(namespace string) (*rest.Config, string, error) {
	cfg, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, "", errors.New("this runs in no Pod: a kubeconfig must be given")
	}
	if err != nil {
		return nil, "", fmt.Errorf("the Pod's own account: %w", err)
	}
	if namespace != "" {
		return cfg, namespace, nil
	}
	text, err := os.ReadFile(namespaceFile)
	if err != nil {
		return nil, "", fmt.Errorf("the Pod's own namespace: %w", err)
	}
	return cfg, strings.TrimSpace(string(text)), nil
}

// client is one for leases alone: the typed clients bring the scheme of every kind.
func (c KubernetesConfig) client(o Options) (rest.Interface, string, error) {
	cfg, namespace, err := c.load()
	if err != nil {
		return nil, "", err
	}
	if c.Namespace != "" {
		namespace = c.Namespace
	}
	scheme := runtime.NewScheme()
	if err := coordinationv1.AddToScheme(scheme); err != nil {
		return nil, "", fmt.Errorf("types of coordination/v1: %w", err)
	}
	cfg.GroupVersion, cfg.APIPath = &coordinationv1.SchemeGroupVersion, "/apis"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	cfg.UserAgent, cfg.WarningHandler = "etcdsafe", rest.NoWarnings{}
	cfg.Timeout = o.attempt()
	// An HTTP/2 connection whose other end is gone would take all requests down for half a minute.
	cfg.NextProtos = []string{"http/1.1"}
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("reach Kubernetes at %q: %w", cfg.Host, err)
	}
	return client, namespace, nil
}

// errSilent is an error that is no answer of the API server.
var errSilent = errors.New("no answer from Kubernetes")

// leaseAPI is one Lease. Its calls are not tried again.
type leaseAPI struct {
	client          rest.Interface
	namespace, name string
}

func (a leaseAPI) get(ctx context.Context) (*coordinationv1.Lease, error) {
	return a.do(ctx, a.client.Get().Name(a.name))
}

func (a leaseAPI) create(ctx context.Context, l *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	l.Name, l.Namespace = a.name, a.namespace
	return a.do(ctx, a.client.Post().Body(l))
}

func (a leaseAPI) update(ctx context.Context, l *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	return a.do(ctx, a.client.Put().Name(a.name).Body(l))
}

func (a leaseAPI) do(ctx context.Context, r *rest.Request) (*coordinationv1.Lease, error) {
	out := &coordinationv1.Lease{}
	err := r.Namespace(a.namespace).Resource("leases").MaxRetries(0).Do(ctx).Into(out)
	var status apierrors.APIStatus
	if err != nil && !errors.As(err, &status) {
		return nil, fmt.Errorf("%w: %w", errSilent, err)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}
