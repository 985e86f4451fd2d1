package kubetest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacclient "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// callWait bounds each step of the test's own.
const callWait = 30 * time.Second

// ServiceAccount makes an account in a namespace, which is made too where it is not there, with
// the rights of rules in that namespace alone. It gives a client's configuration with a token
// of an hour, as a Pod has one, and waits until the first rule has come to the authorizer.
func (s *Server) ServiceAccount(t testing.TB, namespace, name string, rules ...rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), callWait)
	defer stop()
	token, err := s.account(ctx, namespace, name)
	if err != nil {
		t.Fatalf("make service account %s/%s: %v", namespace, name, err)
	}
	config := s.config()
	config.BearerToken = token
	if len(rules) == 0 {
		return config
	}
	if err := s.grant(ctx, namespace, name, rules); err != nil {
		t.Fatalf("grant rights to %s/%s: %v", namespace, name, err)
	}
	if err := child.Poll(ctx, 20*time.Millisecond, func() error { return allowed(ctx, config, namespace, rules[0]) }); err != nil {
		t.Fatalf("wait until %s/%s has its rights: %v", namespace, name, err)
	}
	return config
}

// account makes the namespace, the account and a token.
func (s *Server) account(ctx context.Context, namespace, name string) (token string, err error) {
	client, err := coreclient.NewForConfig(s.admin)
	if err != nil {
		return "", err
	}
	meta := metav1.ObjectMeta{Name: namespace}
	if _, err := client.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", err
	}
	accounts := client.ServiceAccounts(namespace)
	meta = metav1.ObjectMeta{Name: name}
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	hour := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}
	answer, err := accounts.CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return answer.Status.Token, nil
}

// grant makes a role of that name, and binds it to the account of that name.
func (s *Server) grant(ctx context.Context, namespace, name string, rules []rbacv1.PolicyRule) error {
	client, err := rbacclient.NewForConfig(s.admin)
	if err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Name: name}
	if _, err := client.Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err = client.RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{})
	return err
}

// allowed asks the authorizer, as the account, for the first of what a rule allows.
func allowed(ctx context.Context, config *rest.Config, namespace string, rule rbacv1.PolicyRule) error {
	client, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return err
	}
	asked := authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: first(rule.Verbs), Group: first(rule.APIGroups),
		Resource: first(rule.Resources), Name: first(rule.ResourceNames),
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &asked}}
	answer, err := client.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if !answer.Status.Allowed {
		return fmt.Errorf("%s of %q is not allowed: %s", asked.Verb, asked.Resource, answer.Status.Reason)
	}
	return nil
}

func first(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[0]
}

// Kubeconfig writes a file that kubectl and client-go load, with the certificate or the token of
// config, which is Admin's or ServiceAccount's.
func (s *Server) Kubeconfig(t testing.TB, config *rest.Config) string {
	t.Helper()
	file := clientcmdapi.NewConfig()
	file.Clusters["test"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthority: config.CAFile}
	file.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	file.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	file.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		t.Fatalf("write kubeconfig: %v", err)
	}
	return path
}
