package settings

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// kindCase is one text for a setting alone, and what it is or why it is refused.
type kindCase struct{ text, want, fault string }

// checkKind puts each text into a Set of T and compares what %v makes of the value, or the fault.
func checkKind[T Kind](t *testing.T, a about, cases []kindCase) {
	t.Helper()
	for _, c := range cases {
		var s Set[T]
		a.file = new(string)
		s.about = &a
		if err := s.Set(c.text); err != nil {
			t.Errorf("Set(%q) = %v, want a fault to be kept", c.text, err)
		}
		checkValue(t, &s, c)
	}
}

func checkValue[T Kind](t *testing.T, s *Set[T], c kindCase) {
	t.Helper()
	switch {
	case c.fault == "" && s.fault != nil:
		t.Errorf("%T of %q: fault %v, want %s", s.value, c.text, s.fault, c.want)
	case c.fault != "" && s.fault == nil:
		t.Errorf("%T of %q = %v, want fault %q", s.value, c.text, s.value, c.fault)
	case c.fault != "" && !strings.Contains(s.fault.Error(), c.fault):
		t.Errorf("%T of %q: fault %q, want %q in it", s.value, c.text, s.fault, c.fault)
	case c.fault == "" && fmt.Sprint(s.Get()) != c.want:
		t.Errorf("%T of %q = %v, want %s", s.value, c.text, s.value, c.want)
	}
}

func TestText(t *testing.T) {
	checkKind[string](t, about{}, []kindCase{
		{"prod", "prod", ""},
		{" before the upgrade\n", "before the upgrade", ""},
		{`"prod"`, `"prod"`, ""},
		{"a=http://1,b=http://2", "a=http://1,b=http://2", ""},
		{"", "", ""},
	})
	checkKind[User](t, about{}, []kindCase{
		{"root\n", "root", ""},
		{"root:pw", "", "holds a colon"},
	})
	checkKind[Choice](t, about{choices: []string{"auto", "off"}}, []kindCase{
		{"off", "off", ""},
		{"OFF", "", `"OFF" is not one of auto, off`},
		{"", "", `"" is not one of`},
		{"false", "", `"false" is not one of`},
	})
}

func TestPath(t *testing.T) {
	checkKind[Path](t, about{}, []kindCase{
		{"/var/secrets/my key.json", "/var/secrets/my key.json", ""},
		{"", "", ""},
		{"/var/key.json ", "", `contains whitespace at position 14: "/var/key.json "`},
		{" /var/key.json", "", `contains whitespace at position 1: " /var/key.json"`},
		{"/ü \n", "", `contains whitespace at position 3: "/ü \n"`},
		{"/key\u200b", "", `contains whitespace at position 5: "/key\u200b"`},
		{" ", "", "contains whitespace at position 1"},
		{"'", "'", ""},
	})
}

func TestBool(t *testing.T) {
	checkKind[bool](t, about{}, []kindCase{
		{"true", "true", ""},
		{"1", "true", ""},
		{"false", "false", ""},
		{"yes", "", `"yes" is neither true nor false`},
		{"", "", `"" is neither`},
		{"true\n", "", `"true\n" is neither`},
	})
}

func TestInt(t *testing.T) {
	checkKind[int64](t, about{}, []kindCase{
		{"0", "0", ""},
		{"1000000000", "1000000000", ""},
		{"-1", "", "must not be negative"},
		{"1.5", "", `"1.5" is not a whole number`},
		{"0x10", "", `"0x10" is not`},
		{"9223372036854775808", "", "is not a whole number"},
		{"", "", `"" is not a whole number`},
	})
	checkKind[int64](t, about{positive: true}, []kindCase{{"1", "1", ""}, {"0", "", "must be more than 0"}})
}

func TestBytes(t *testing.T) {
	checkKind[Bytes](t, about{}, []kindCase{
		{"512Mi", "536870912", ""},
		{"129e6", "129000000", ""},
		{"128974848", "128974848", ""},
		{"129M", "129000000", ""},
		{"123Mi", "128974848", ""},
		{"0.5Gi", "536870912", ""},
		{"10000m", "10", ""},
		{"0", "0", ""},
		{"10500m", "", `"10500m" is not a whole number of bytes`},
		{"0.1", "", "is not a whole number of bytes"},
		{"1e-99", "", "is not a whole number of bytes"},
		{"-1Mi", "", "must not be negative"},
		{"8Ei", "", "too large"},
		{"9223372036854775808", "", "too large"},
		{"99999999999999999999", "", "too large"},
		{"1e99", "", "too large"},
		{"9e18", "9000000000000000000", ""},
		{"999999999999999999999999", "", "is not a size"},
		{"1e999999999", "", "is not a size"},
		{"512MB", "", `"512MB" is not a size`},
		{"512 Mi", "", "is not a size"},
		{"..", "", "is not a size"},
		{"", "", "is not a size"},
	})
}

func TestDuration(t *testing.T) {
	checkKind[time.Duration](t, about{}, []kindCase{
		{"90s", "1m30s", ""},
		{"7d", "168h0m0s", ""},
		{"1d12h", "36h0m0s", ""},
		{"1.5d", "36h0m0s", ""},
		{"1d0.5h", "24h30m0s", ""},
		{"0", "0s", ""},
		{"12h1d", "", `"12h1d" is not a duration`},
		{"1d-1h", "", "is not a duration"},
		{"-1h", "", "must not be negative"},
		{"-1d", "", "is not a duration"},
		{"5", "", `"5" is not a duration such as 90s`},
		{"d", "", "is not a duration"},
		{"", "", "is not a duration"},
		{"106751d", "2562024h0m0s", ""},
		{"106752d", "", "is not a duration"},
		{"106751d24h", "", "is not a duration"},
		{"9999999999d", "", "is not a duration"},
		{strings.Repeat("9", 400) + "d", "", "is not a duration"},
	})
	checkKind[time.Duration](t, about{positive: true}, []kindCase{{"1ns", "1ns", ""}, {"0s", "", "must be more than 0"}})
}

func TestPairsAndTimes(t *testing.T) {
	checkKind[Subset](t, about{}, []kindCase{
		{"1/7", "{1 7}", ""},
		{"7/7", "{7 7}", ""},
		{"0/7", "", `"0/7" is not a part`},
		{"8/7", "", `"8/7" is not a part`},
		{"1", "", "is not a part"},
		{"1/2/3", "", "is not a part"},
		{"-1/2", "", "is not a part"},
	})
	checkKind[Owner](t, about{}, []kindCase{
		{"1000:0", "{1000 0}", ""},
		{"etcd:etcd", "", `"etcd:etcd" is not uid:gid`},
		{"1000", "", "is not uid:gid"},
		{fmt.Sprintf("%d:1", uint32(math.MaxUint32)), "", "is not uid:gid"},
		{"4294967296:1", "", "is not uid:gid"},
	})
	checkKind[time.Time](t, about{}, []kindCase{
		{"2026-01-02T15:04:05Z", "2026-01-02 15:04:05 +0000 UTC", ""},
		{"2026-01-02", "2026-01-02 23:59:59 +0000 UTC", ""},
		{"2026-13-02", "", `"2026-13-02" is not a time`},
		{"", "", "is not a time"},
	})
}

func TestLists(t *testing.T) {
	checkKind[[]string](t, about{}, []kindCase{
		{"age1a, age1b", "[age1a age1b]", ""},
		{"", "[]", ""},
		{"age1a,", "", "item 2 of 2 is empty"},
		{" ", "", "item 1 of 1 is empty"},
	})
	checkKind[Labels](t, about{}, []kindCase{
		{"b=2,a=1=1,c=", "a=1=1,b=2,c=", ""},
		{"a=1, b= 2", "a=1,b= 2", ""},
		{"a", "", `"a" is not key=value`},
		{"a=1,2", "", `"2" is not key=value (a value with a comma`},
		{"=1", "", `"=1" has no key`},
		{"a=1,a=2", "", `key "a" is given twice`},
	})
}

func TestAddresses(t *testing.T) {
	checkKind[Endpoints](t, about{}, []kindCase{
		{"10.2.0.9:2379", "10.2.0.9:2379", ""},
		{"https://etcd-0.etcd:2379,http://[::1]:2379/", "https://etcd-0.etcd:2379,http://[::1]:2379/", ""},
		{"[::1]:2379", "[::1]:2379", ""},
		{"unix:///run/etcd.sock", "", `"unix:///run/etcd.sock" is not an address`},
		{"etcd-0:x", "", `"etcd-0:x" is not an address`},
		{"etcd-0", "", `"etcd-0" is not an address`},
		{"https://etcd-0", "", "is not an address"},
		{"https://etcd-0:2379/health", "", "is not an address"},
		{"ftp://etcd-0:2379", "", "is not an address"},
		{"10.2.0.9:2379, 10.2.0.10:2379", "", `contains whitespace at position 1: " 10.2.0.10:2379"`},
		{"https://root:pw@etcd-0:2379", "", `"https://[redacted]@etcd-0:2379" holds a user`},
	})
	checkKind[URLs](t, about{}, []kindCase{
		{"s3://bucket/prefix?region=eu-1", "s3://bucket/prefix?region=eu-1", ""},
		{"file:///backup,mem://", "file:///backup,mem://", ""},
		{"/backup", "", `"/backup" is not a URL such as`},
		{"s3:bucket", "", "is not a URL"},
		{"s3://bucket -n", "", `contains whitespace at position 12: "s3://bucket -n"`},
		{"s3://a, s3://b", "", `contains whitespace at position 1: " s3://b"`},
		{"s3://bucket\n", "", `contains whitespace at position 12: "s3://bucket\n"`},
		{"s3://a,,s3://b", "", "item 2 of 3 is empty"},
		{"s3://%zz", "", "is not a URL"},
	})
}

// Env files keep quotes, so a value arrives with them.
func TestQuotesAreShown(t *testing.T) {
	for _, quote := range []string{`"`, `'`} {
		wrapped := func(s string) []kindCase {
			q := quote + s + quote
			return []kindCase{{q, "", fmt.Sprintf("the quotes in `%s` are part of the value", q)}}
		}
		checkKind[bool](t, about{}, wrapped("true"))
		checkKind[int64](t, about{}, wrapped("5"))
		checkKind[Bytes](t, about{}, wrapped("512Mi"))
		checkKind[time.Duration](t, about{}, wrapped("5m"))
		checkKind[time.Time](t, about{}, wrapped("2026-01-02T15:04:05Z"))
		checkKind[Path](t, about{}, wrapped("/key.json"))
		checkKind[Choice](t, about{choices: []string{"json"}}, wrapped("json"))
		checkKind[Subset](t, about{}, wrapped("1/2"))
		checkKind[Owner](t, about{}, wrapped("1:2"))
		checkKind[[]string](t, about{}, wrapped("age1a"))
		checkKind[Labels](t, about{}, wrapped("a=b"))
		checkKind[Endpoints](t, about{}, wrapped("etcd"))
		checkKind[URLs](t, about{}, wrapped("s3://bucket"))
		half := []kindCase{{quote + "s3://a,s3://b" + quote, "", "the quotes in `" + quote + "s3://a` are part"}}
		checkKind[URLs](t, about{}, half)
	}
}

func TestFlagsThatGrow(t *testing.T) {
	s := load(t, input{
		args: []string{
			"--snapshot-label=a=1", "--snapshot-label=b=2", "--stores=s3://a", "--stores=s3://b,s3://c",
			"--cluster=a", "--cluster=b", "--endpoints=h:1", "--endpoints=h:2", "--recipients=x", "--recipients=y",
		},
		env: []string{"ETCDSAFE_STORES=s3://env", "ETCDSAFE_SNAPSHOT_LABEL=c=3"},
	})
	wantFaults(t, faults(t, s), nil)
	got := fmt.Sprintln(s.Snapshot.Label.Get(), s.Stores.Get(), s.Cluster.Get(), s.Endpoints.Get(), s.Recipients.Get())
	if want := "a=1,b=2 s3://a,s3://b,s3://c b h:1,h:2 [x y]\n"; got != want {
		t.Errorf("flags given again = %q, want %q", got, want)
	}
	s = load(t, input{args: []string{"--snapshot-label=a", "--snapshot-label=b=1", "--stores=s3://a", "--stores=b"}})
	wantFaults(t, faults(t, s), []string{`--stores: "b" is not a URL`, `--snapshot-label: "a" is not key=value`})
}
