package node

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// Address is the node's own. etcd, the API server and the kubelet answer there, to Pods too.
const Address = "10.99.0.1"

// Config says where the node is to be made from.
type Config struct {
	Tools string    // the folder that scripts/tools.sh fills
	Bin   string    // the folder with what this tree is built to: pause, and etcdsafe for whoever works on the node itself
	Image string    // archive of the image with etcdsafe, to be tested under the name that it has in there
	Dir   string    // for files of the node's making; an existing, empty folder
	Log   io.Writer // how far Start has come
}

// A Node is one that runs, ready for Pods. It ends with the process, at the latest with the sandbox.
type Node struct {
	config Config
	logs   string
	began  time.Time
}

// settings are the files of /etc, and the store's objects.
//
//go:embed etc store.yaml
var settings embed.FS

// Start brings the node up in the sandbox, and the store with a bucket "backups" in it. ctx bounds how
// long that may take; its end later does not end the node. An error tells the last lines of what failed.
func Start(ctx context.Context, c Config) (*Node, error) {
	if _, err := os.Stat("/sys/class/net/node0"); err != nil {
		return nil, errors.New("no interface node0: the node runs in scripts/sandbox.sh alone, for it writes to /etc and /var/lib")
	}
	n := &Node{config: c, logs: "/var/log/node", began: time.Now()}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"settings", n.configure},
		{"containerd", n.startContainerd},
		{"images", n.loadImages},
		{"API server", n.startKubelet},
		{"node", n.awaitReady},
		{"store", n.startStore},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(c.Log, "[%5.1f s] %s ready\n", time.Since(n.began).Seconds(), step.name)
	}
	return n, nil
}

// configure lays out /etc as an installation of kubeadm and Debian would.
func (n *Node) configure(context.Context) error {
	for _, dir := range []string{n.logs, "/etc/kubernetes", "/var/lib/store/backups", "/var/lib/kubelet", "/var/lib/containerd"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// A person on the node has etcdctl by its name.
	if err := os.Symlink(filepath.Join(n.config.Tools, "etcdctl-3.6"), filepath.Join(n.config.Dir, "etcdctl")); err != nil {
		return err
	}
	if err := writePKI("/etc/kubernetes/pki"); err != nil {
		return err
	}
	if err := writeKubeconfigs("/etc/kubernetes"); err != nil {
		return err
	}
	return lay(func(path string) bool { return !late(path) })
}

// late are the manifests of what gives up where there is no API server, and is then kept from starting for a while.
func late(path string) bool {
	return strings.HasSuffix(path, "kube-controller-manager.yaml") || strings.HasSuffix(path, "kube-scheduler.yaml")
}

// lay writes those of the settings' files that are chosen.
func lay(chosen func(path string) bool) error {
	return fs.WalkDir(settings, "etc", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !chosen(path) {
			return err
		}
		text, err := settings.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir("/"+path), 0o755); err != nil {
			return err
		}
		return os.WriteFile("/"+path, text, 0o644)
	})
}

func (n *Node) startContainerd(ctx context.Context) error {
	p, err := n.start("containerd", "--config", "/etc/containerd/config.toml")
	if err != nil {
		return err
	}
	return n.await(ctx, p, "containerd", func(ctx context.Context) error {
		_, err := n.Run(ctx, "", "ctr", "version")
		return err
	})
}

func (n *Node) loadImages(ctx context.Context) error {
	tars := []string{n.config.Image}
	for _, i := range images(n.config.Tools, filepath.Join(n.config.Bin, "pause")) {
		path := filepath.Join(n.config.Dir, strings.NewReplacer("/", "-", ":", "-").Replace(i.name)+".tar")
		if err := i.write(path); err != nil {
			return err
		}
		defer os.Remove(path)
		tars = append(tars, path)
	}
	for _, path := range tars {
		if _, err := n.Run(ctx, "", "ctr", "--namespace", "k8s.io", "images", "import", "--local", path); err != nil {
			return err
		}
	}
	return nil
}

// startKubelet starts the control plane by that, and kube-proxy, which waits for it.
func (n *Node) startKubelet(ctx context.Context) error {
	p, err := n.start("kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig=/etc/kubernetes/kubelet.conf",
		"--hostname-override=node1", "--node-ip="+Address, "--root-dir=/var/lib/kubelet", "--v=2")
	if err != nil {
		return err
	}
	err = n.await(ctx, p, "kubelet", func(ctx context.Context) error {
		_, err := n.Kubectl(ctx, "", "get", "--raw", "/readyz")
		return err
	})
	if err := errors.Join(err, lay(late)); err != nil {
		return err
	}
	_, err = n.start("kube-proxy", "--kubeconfig=/etc/kubernetes/proxy.conf", "--proxy-mode=nftables", "--cluster-cidr=10.85.0.0/24",
		"--hostname-override=node1", "--bind-address="+Address,
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
	return err
}

// awaitReady waits for the node, and for the account that every Pod has. The label is kubeadm's.
func (n *Node) awaitReady(ctx context.Context) error {
	err := n.poll(ctx, "kubelet", func() error {
		ready, err := n.Kubectl(ctx, "", "get", "node", "node1", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err != nil {
			return err
		}
		if ready != "True" {
			return fmt.Errorf("node1 is ready: %q", ready)
		}
		_, err = n.Kubectl(ctx, "", "get", "serviceaccount", "default")
		return err
	})
	if err != nil {
		return err
	}
	_, err = n.Kubectl(ctx, "", "label", "node", "node1", "node-role.kubernetes.io/control-plane=")
	return err
}

func (n *Node) startStore(ctx context.Context) error {
	text, err := settings.ReadFile("store.yaml")
	if err != nil {
		return err
	}
	if _, err := n.Kubectl(ctx, string(text), "apply", "-f", "-"); err != nil {
		return err
	}
	_, err = n.Kubectl(ctx, "", "-n", "store", "rollout", "status", "deployment/store", "--timeout=120s")
	return err
}

// start runs one of the tools as a process beside us, its output in the folder of logs.
func (n *Node) start(name string, args ...string) (*child.Process, error) {
	log, err := os.Create(filepath.Join(n.logs, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return child.Start(filepath.Join(n.config.Tools, name), args, n.environment(), log)
}

func (n *Node) environment() []string {
	return []string{"PATH=" + n.config.Bin + ":" + n.config.Dir + ":" + n.config.Tools + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + n.config.Dir,
		"KUBECONFIG=/etc/kubernetes/admin.conf", "CONTAINERD_ADDRESS=/run/containerd/containerd.sock"}
}

// await waits for what a process serves, and says its last words where it ends or takes too long.
func (n *Node) await(ctx context.Context, p *child.Process, name string, ready func(context.Context) error) error {
	if err := p.Await(ctx, ready); err != nil {
		return fmt.Errorf("%w\n%s", err, n.Excerpt(name))
	}
	return nil
}

func (n *Node) poll(ctx context.Context, name string, ready func() error) error {
	if err := child.Poll(ctx, 200*time.Millisecond, ready); err != nil {
		return fmt.Errorf("%w\n%s", err, n.Excerpt(name))
	}
	return nil
}

// Excerpt is the beginning and the end of a process's log: containerd's, kubelet's or kube-proxy's.
func (n *Node) Excerpt(name string) string {
	text, err := os.ReadFile(filepath.Join(n.logs, name+".log"))
	if err != nil {
		return err.Error()
	}
	return child.Excerpt(string(text))
}

// Run runs a program as root of the node, found as a shell there would find it, the pinned tools first,
// and gives what it wrote to stdout. Its error has what it wrote to stderr.
func (n *Node) Run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	path, err := n.find(program)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = n.environment(), strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// find looks where environment's PATH says, which is not that of this process.
func (n *Node) find(program string) (string, error) {
	path := strings.TrimPrefix(n.environment()[0], "PATH=")
	for _, dir := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode().IsRegular() {
			return filepath.Join(dir, program), nil
		}
	}
	return "", fmt.Errorf("no program %s in %s", program, path)
}

// Kubectl is Run of kubectl, as an administrator.
func (n *Node) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return n.Run(ctx, stdin, "kubectl", args...)
}
