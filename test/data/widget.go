package data

import (
	"encoding/json"
	"fmt"
	"strings"
)

// widget is a custom resource, stored as the JSON that its user sent plus what the API server
// adds. Its size is spread evenly between 1 and 20 KB.
func (o object) widget() (string, []byte) {
	a := o.app()
	name := a.name + "-" + suffix(o.index)
	size := 1_200 + o.still.IntN(18_000)
	created := o.still.seconds()
	var parts []json.RawMessage
	resource := map[string]any{
		"apiVersion": "example.com/v1alpha1", "kind": "Widget",
		"metadata": map[string]any{
			"name": name, "namespace": a.namespace, "uid": o.still.uid(), "generation": 1 + o.still.IntN(40),
			"creationTimestamp": stamp(created), "labels": map[string]string{"app.kubernetes.io/name": a.name, "team": a.team},
		},
		"status": map[string]any{
			"phase": pick(o.moving, []string{"Ready", "Pending", "Degraded"}), "observedGeneration": 1 + o.moving.IntN(40),
			"conditions": []any{map[string]string{
				"type": "Ready", "status": "True", "reason": "Reconciled", "lastTransitionTime": stamp(o.moving.seconds()),
				"message": o.moving.sentence(8),
			}},
		},
	}
	for used := 700; used < size; {
		part := encode(o.part(a))
		parts = append(parts, part)
		used += len(part) + 1
	}
	resource["spec"] = map[string]any{"selector": map[string]string{"app": a.name}, "parts": parts}
	return "/registry/example.com/widgets/" + a.namespace + "/" + name, encode(resource)
}

// part is one of the things that a widget is made of.
func (o object) part(a app) map[string]any {
	n := o.still
	digest := pick(n, a.digests)
	if n.IntN(3) == 0 {
		digest = n.digest() // of an image of its own
	}
	settings := map[string]string{}
	for range 2 + n.IntN(6) {
		e := pick(n, a.env)
		settings[strings.ToLower(e.key)] = e.value
	}
	return map[string]any{
		"name": pick(n, vocabulary) + "-" + n.letters(4), "image": pick(n, a.images), "digest": digest,
		"weight": n.IntN(1000), "enabled": n.IntN(4) > 0, "settings": settings,
	}
}

// encode is JSON with sorted keys, as encoding/json writes maps.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // maps, texts and numbers always encode
	}
	return b
}
