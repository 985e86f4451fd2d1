package node

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// An image is what `docker save` would write of one made FROM scratch: one layer of programs in /.
type image struct {
	name       string            // with its tag
	entrypoint string            // what runs unless a container says otherwise
	programs   map[string]string // path in the image → file on this machine
	links      map[string]string // path in the image → what it points to
}

// write makes the tarball.
func (i image) write(path string) error {
	layer := path + ".layer"
	defer os.Remove(layer)
	digest, err := i.writeLayer(layer)
	if err != nil {
		return fmt.Errorf("image %s: %w", i.name, err)
	}
	if err := i.writeTarball(path, layer, digest); err != nil {
		return fmt.Errorf("image %s: %w", i.name, err)
	}
	return nil
}

func (i image) writeLayer(path string) (digest string, err error) {
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	w := tar.NewWriter(io.MultiWriter(file, hash))
	for name, from := range i.programs {
		err = errors.Join(err, addFile(w, name, from, 0o755))
	}
	for name, to := range i.links {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}))
	}
	err = errors.Join(err, w.Close(), file.Close())
	return hex.EncodeToString(hash.Sum(nil)), err
}

func (i image) writeTarball(path, layer, digest string) error {
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/"}, "Entrypoint": []string{i.entrypoint}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(config)
	id := hex.EncodeToString(sum[:])
	manifest, err := json.Marshal([]map[string]any{{"Config": id + ".json", "RepoTags": []string{i.name}, "Layers": []string{digest + "/layer.tar"}}})
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	return errors.Join(
		addBytes(w, id+".json", config),
		addFile(w, digest+"/layer.tar", layer, 0o644),
		addBytes(w, "manifest.json", manifest),
		w.Close(), file.Close())
}

func addBytes(w *tar.Writer, name string, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func addFile(w *tar.Writer, name, from string, mode int64) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: mode}); err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return err
}

// images are those of the node's own programs, from the folder of the tools.
func images(tools, pause string) []image {
	tool := func(name string) string { return filepath.Join(tools, name) }
	kube := map[string]string{}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		kube[name] = "kube"
	}
	return []image{
		{name: "node.local/pause:1", entrypoint: "pause", programs: map[string]string{"pause": pause}},
		{name: "node.local/etcd:1", entrypoint: "etcd", programs: map[string]string{
			"etcd": tool("etcd-3.6"), "etcdctl": tool("etcdctl-3.6"), "etcdutl": tool("etcdutl-3.6")}},
		{name: "node.local/kube:1", entrypoint: "kube-apiserver", programs: map[string]string{"kube": tool("kube")}, links: kube},
		{name: "node.local/versitygw:1", entrypoint: "versitygw", programs: map[string]string{"versitygw": tool("versitygw")}},
	}
}
