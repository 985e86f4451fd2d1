package settings

import "time"

// Concern is one of the structs of settings below; Flags takes pointers to those inside a Settings.
type Concern interface{ concern() }

// Common is what every command has.
type Common struct {
	LogLevel       Set[Choice] `split_words:"true" preset:"info" enum:"debug,info,warn,error" desc:"least severe log line to write"`
	LogFormat      Set[Choice] `split_words:"true" preset:"text" enum:"text,json" desc:"form of the log on stderr"`
	Output         Set[Choice] `split_words:"true" preset:"text" enum:"text,json" desc:"form of the report on stdout"`
	ReportFile     Set[Path]   `split_words:"true" desc:"file to write the JSON report to as well"`
	TerminationLog Set[Path]   `split_words:"true" preset:"/dev/termination-log" desc:"file that Kubernetes reads a container's last words from; written where it exists"`
	XcomFile       Set[Path]   `split_words:"true" preset:"/airflow/xcom/return.json" desc:"file that Airflow reads a task's result from; written where its folder exists"`
	Config         Set[Path]   `split_words:"true" file:"-" desc:"YAML file of settings; unknown keys are refused"`
}

// Store is where archives lie, and whose they are.
type Store struct {
	Cluster Set[string] `split_words:"true" desc:"the cluster's name in every store"`
	Stores  Set[URLs]   `split_words:"true" desc:"store URLs, the first is read first, e.g. file:///backups"`
}

// Job is what every job has.
type Job struct {
	DryRun   Set[bool]          `split_words:"true" preset:"false" desc:"change nothing, print the report of what would be done"`
	Deadline Set[time.Duration] `split_words:"true" preset:"2h" positive:"true" desc:"time for the whole job, which then ends with exit 16; defrag has 6h by default"`
}

// Etcd is how to reach the cluster's members.
type Etcd struct {
	Endpoints          Set[Endpoints]     `split_words:"true" preset:"127.0.0.1:2379" etcdctl:"ETCDCTL_ENDPOINTS" desc:"client addresses of etcd's members"`
	Cacert             Set[Path]          `split_words:"true" etcdctl:"ETCDCTL_CACERT" desc:"CA bundle that etcd's server certificates must chain to"`
	Cert               Set[Path]          `split_words:"true" etcdctl:"ETCDCTL_CERT" desc:"client certificate for etcd"`
	Key                Set[Path]          `split_words:"true" etcdctl:"ETCDCTL_KEY" desc:"key of the client certificate"`
	ServerName         Set[string]        `split_words:"true" desc:"name to expect in etcd's server certificates, instead of the endpoint's host"`
	User               Set[User]          `split_words:"true" etcdctl:"ETCDCTL_USER" desc:"etcd user, where authentication is on"`
	Password           Set[Secret]        `split_words:"true" etcdctl:"ETCDCTL_PASSWORD" desc:"password of the etcd user; never a flag"`
	PasswordFile       Set[Path]          `split_words:"true" desc:"file that holds the password of the etcd user"`
	InsecureSkipVerify Set[bool]          `split_words:"true" preset:"false" desc:"believe any server certificate of etcd; for tests alone"`
	DialTimeout        Set[time.Duration] `split_words:"true" preset:"5s" positive:"true" desc:"time to reach one endpoint of etcd"`
	MetricsEndpoints   Set[Endpoints]     `split_words:"true" desc:"where members serve /metrics, if not at their client URLs: etcd's --listen-metrics-urls; in any order"`
}

// Quota is for members that do not tell theirs.
type Quota struct {
	Quota Set[Bytes] `split_words:"true" desc:"etcd's quota, assumed where a member tells none; unset means that it is not known there"`
}

// Keys is whom archives are sealed to, and what opens them.
type Keys struct {
	Recipients     Set[[]string] `split_words:"true" desc:"age recipients to seal archives to"`
	RecipientsFile Set[Path]     `split_words:"true" desc:"file of age recipients, one a line"`
	IdentitiesFile Set[Path]     `split_words:"true" desc:"file of age identities (private keys), to open archives"`
	Plaintext      Set[bool]     `split_words:"true" preset:"false" desc:"store archives without encryption; every report says so"`
}

// Spool is where a snapshot rests between etcd and the stores.
type Spool struct {
	SpoolDir      Set[Path]   `split_words:"true" desc:"folder of the spools; unset means the system's temporary folder"`
	Spool         Set[Choice] `split_words:"true" preset:"disk" enum:"disk,memory" desc:"where the spools live; memory counts against the container's limit"`
	SpoolMaxBytes Set[Bytes]  `split_words:"true" desc:"most bytes that the spools may take; unset means what is free"`
}

// Lock is what keeps a second run of snapshot or defrag off a cluster.
type Lock struct {
	Lock          Set[Choice]        `split_words:"true" preset:"etcd" enum:"etcd,kubernetes,none" desc:"where the lock of the cluster lies: one snapshot or defrag at a time"`
	IfLocked      Set[Choice]        `split_words:"true" preset:"skip" enum:"skip,fail,wait" desc:"what to do while another run holds the lock: nothing, end with exit 11, or wait until the deadline"`
	MaxLockAge    Set[time.Duration] `split_words:"true" preset:"2h" positive:"true" desc:"age from which a holder is no more a reason to skip, but exit 11"`
	LockNamespace Set[string]        `split_words:"true" desc:"namespace of the Lease, with --lock kubernetes; unset means the Pod's own, or the kubeconfig's"`
	LockName      Set[string]        `split_words:"true" desc:"name of the Lease, with --lock kubernetes; unset means etcdsafe- and the cluster's name"`
	Kubeconfig    Set[Path]          `split_words:"true" desc:"how to reach Kubernetes, with --lock kubernetes; unset means as the Pod that this runs in"`
}

func (*Common) concern() {}
func (*Store) concern()  {}
func (*Job) concern()    {}
func (*Etcd) concern()   {}
func (*Quota) concern()  {}
func (*Keys) concern()   {}
func (*Spool) concern()  {}
func (*Lock) concern()   {}
