package data

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// A world is what objects have in common: the same for one seed, however many are made.
type world struct {
	seed  uint64
	apps  []app
	nodes []string
}

// An app is what its pods, replica sets, config maps and secrets share.
type app struct {
	namespace, name, team, version, account string
	images                                  []string // one per container
	digests                                 []string
	env                                     []pair
	labels                                  []pair
}

type pair struct{ key, value string }

func number(n int) string { return strconv.Itoa(n) }

func newWorld(seed uint64) *world {
	n := noise{rand.New(rand.NewPCG(seed, 1<<63))}
	w := &world{seed: seed}
	for i := range 150 {
		w.nodes = append(w.nodes, "ip-10-"+number(i/16)+"-"+number(n.IntN(250))+"-"+number(i)+".eu-central-1.compute.internal")
	}
	var namespaces []string
	for i := range 60 {
		namespaces = append(namespaces, pick(n, subjects)+"-"+pick(n, []string{"prod", "staging", "dev", "team"})+"-"+number(i))
	}
	for range 1500 {
		w.apps = append(w.apps, newApp(n, pick(n, namespaces)))
	}
	return w
}

func newApp(n noise, namespace string) app {
	a := app{
		namespace: namespace, name: pick(n, subjects) + "-" + pick(n, roles), team: pick(n, subjects),
		version: number(n.IntN(9)) + "." + number(n.IntN(40)) + "." + number(n.IntN(20)),
	}
	a.account = a.name
	for i := range 1 + n.IntN(4) {
		image := "registry.example.com/" + a.team + "/" + a.name
		if i > 0 {
			image = "registry.example.com/platform/" + pick(n, sidecars)
		}
		a.images = append(a.images, image+":"+a.version)
		a.digests = append(a.digests, image+"@"+n.digest())
	}
	for range 12 + n.IntN(40) {
		key := strings.ToUpper(pick(n, vocabulary) + "_" + pick(n, vocabulary))
		a.env = append(a.env, pair{key, n.setting()})
	}
	a.labels = []pair{
		{"app.kubernetes.io/instance", a.name + "-" + a.namespace},
		{"app.kubernetes.io/managed-by", "Helm"},
		{"app.kubernetes.io/name", a.name},
		{"app.kubernetes.io/part-of", a.team},
		{"app.kubernetes.io/version", a.version},
		{"helm.sh/chart", a.name + "-" + a.version},
	}
	return a
}

// setting is a value as configuration has them.
func (n noise) setting() string {
	switch n.IntN(6) {
	case 0:
		return "http://" + pick(n, subjects) + "-" + pick(n, roles) + "." + pick(n, subjects) + ".svc.cluster.local:" + number(8000+n.IntN(2000))
	case 1:
		return number(n.IntN(100_000))
	case 2:
		return pick(n, []string{"true", "false", "info", "debug", "warn", "json", "30s", "5m", "1h"})
	case 3:
		return "/" + pick(n, vocabulary) + "/" + pick(n, vocabulary) + "/" + pick(n, vocabulary) + ".yaml"
	case 4:
		return n.base64(18 + n.IntN(30))
	default:
		return n.sentence(1 + n.IntN(4))
	}
}

// Read-only tables.
var (
	subjects = strings.Fields(`checkout payments ledger catalog search basket orders shipping billing invoices
		accounts identity sessions profile media images video thumbnails notify mail sms push events audit metrics
		traces logs reports exports imports pricing discounts stock warehouse routing maps weather fraud risk limits
		quota tenant gateway edge proxy cache queue stream batch scheduler crawler indexer recommender ranking`)
	roles    = strings.Fields(`api worker web cron consumer producer admin backend frontend sync controller operator grpc jobs`)
	sidecars = strings.Fields(`envoy fluent-bit vault-agent otel-collector oauth2-proxy git-sync`)

	vocabulary = strings.Fields(`access account action active address agent alert allow amount archive array async
		attempt backend backoff balance bucket buffer cache call cancel chunk client clock cluster code commit config
		connect consumer content context count cursor database deadline default delay depth detail digest discard
		domain driver enable encoder endpoint entry error event expire export failure feature fetch field filter flag
		flush format frame gateway group handler hash header health hint host idle image import index inflight input
		interval item job journal key label latency layer lease length level limit listen local lock log loop mask
		match max memory merge message method metric min mode monitor mount name network node notify number object
		offset operator option order origin output owner page parallel parse partition path pattern peer pending
		period pipeline pointer policy pool port prefix priority probe process profile prompt protocol proxy publish
		pull purge push query queue quota range rate reader receive record refresh region release remote replica report
		request reset resource response result retry return revision role root route rule sample scale schedule scope
		secret segment select send sequence server service session shard share signal size slice snapshot socket sort
		source span spool stack stage state status step storage stream subject suffix switch sync table tag target task
		template thread threshold throttle ticket timeout token topic trace track traffic transfer trigger trust tunnel
		type update upload upstream usage user value vector verify version view volume wait watch weight window worker
		write zone`)
)
