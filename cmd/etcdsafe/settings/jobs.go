package settings

import "time"

// Snapshot is what the job snapshot alone has.
type Snapshot struct {
	IfOlderThan Set[time.Duration] `split_words:"true" desc:"skip when the newest archive is younger than this"`
	Reason      Set[string]        `split_words:"true" desc:"why, in the manifest for whoever reads it later"`
	Hold        Set[string]        `split_words:"true" desc:"keep the archive out of prune's reach, with this reason, until release"`
	Label       Set[Labels]        `split_words:"true" desc:"key=value for the manifest; may be repeated"`
	Compare     Set[Choice]        `split_words:"true" preset:"auto" enum:"auto,all,off" desc:"which members' hashes the snapshot is compared with"`
	StreamFloor Set[Bytes]         `split_words:"true" preset:"1Mi" desc:"bytes per second over 30 s below which a member's stream is given up; 0 means never"`
}

// Verify is what the job verify alone has.
type Verify struct {
	Level           Set[Choice]        `split_words:"true" enum:"stored,content" desc:"how deep to look; unset means content where identities are given, else stored"`
	Subset          Set[Subset]        `split_words:"true" desc:"verify part n of t of the archives, e.g. 1/7"`
	MaxAge          Set[time.Duration] `split_words:"true" desc:"fail when the newest verified archive of each store is older than this; with exit 3, naming the store, when that of only some is"`
	RequireIdentity Set[bool]          `split_words:"true" preset:"false" desc:"with --max-age: count no archive that was opened only with the key of the run that sealed it"`
	Budget          Set[time.Duration] `split_words:"true" positive:"true" desc:"begin no further archive after this time"`
}

// Restore is what the job restore alone has.
type Restore struct {
	DataDir                  Set[Path]      `split_words:"true" desc:"etcd data folder to make"`
	DbOnly                   Set[Path]      `split_words:"true" desc:"write the snapshot alone to this file, for etcdutl"`
	FetchOnly                Set[Path]      `split_words:"true" desc:"fetch the sealed archive and its manifest into this folder; needs no key"`
	AsOf                     Set[time.Time] `split_words:"true" desc:"choose the newest archive not after this time, e.g. 2026-01-02T15:04:05Z"`
	MoveAside                Set[bool]      `split_words:"true" preset:"false" desc:"rename a data folder that is not empty instead of refusing"`
	BumpRevision             Set[int64]     `split_words:"true" desc:"raise the revision by this; unset means 1000000000 where Kubernetes keys lie inside, else 0"`
	MarkCompacted            Set[bool]      `split_words:"true" desc:"mark older revisions compacted, so that watchers list anew; unset goes with the bump"`
	Name                     Set[string]    `split_words:"true" preset:"default" desc:"name of the member to restore"`
	InitialCluster           Set[string]    `split_words:"true" desc:"members of the new cluster, as etcd takes it: name=peer-url,name=peer-url"`
	InitialClusterToken      Set[string]    `split_words:"true" desc:"token of the new cluster; unset means one made from the archive's id"`
	InitialAdvertisePeerUrls Set[URLs]      `split_words:"true" desc:"peer URLs of the member to restore"`
	Owner                    Set[Owner]     `split_words:"true" desc:"uid:gid that the data folder is given to"`
	AllowSuspect             Set[bool]      `split_words:"true" preset:"false" desc:"take an archive that is marked suspect"`
}

// Defrag is what the job defrag alone has.
type Defrag struct {
	Rule           Set[string]        `split_words:"true" preset:"(fragmentation >= 0.5 || dbQuotaUsage >= 0.5) && dbSizeFree >= 100*1024*1024" desc:"when a member needs it, in CEL; by dbSize, dbSizeInUse, dbSizeFree, dbQuota, dbQuotaUsage and fragmentation"`
	Sustain        Set[time.Duration] `split_words:"true" preset:"10m" desc:"time for which the rule must have said yes, by a sample a minute; 0 decides on one look"`
	CoolDown       Set[time.Duration] `split_words:"true" preset:"6h" desc:"time for which a member is left alone afterwards"`
	Wait           Set[time.Duration] `split_words:"true" preset:"1m" positive:"true" desc:"least time between two members; their health is waited for besides"`
	AllowShortWait Set[bool]          `split_words:"true" preset:"false" desc:"take a --wait of less than a minute"`
	GiveUp         Set[time.Duration] `split_words:"true" preset:"30m" positive:"true" desc:"time for which a member at work is followed; then the run ends with exit 14, and the member goes on"`
	MaxBlock       Set[time.Duration] `split_words:"true" positive:"true" desc:"refuse a member that is expected not to serve for longer"`
	MoveLeader     Set[bool]          `split_words:"true" preset:"true" desc:"move leadership away from the leader, the last to be done; false leaves the leader out"`
	AllowSingle    Set[bool]          `split_words:"true" preset:"false" desc:"defragment the only voter, which stops the cluster meanwhile"`
	Force          Set[bool]          `split_words:"true" preset:"false" desc:"go on with a version of etcd whose defragmentation is known to corrupt or crash"`
	Metrics        Set[Choice]        `split_words:"true" preset:"required" enum:"required,optional" desc:"whether every member's metrics must tell that nothing is in flight"`
	Member         Set[string]        `split_words:"true" desc:"this member alone, by name or id; all rules hold"`
	MaxMembers     Set[int64]         `split_words:"true" desc:"most members to defragment in one run; unset means all"`
	CompactKeep    Set[int64]         `split_words:"true" desc:"where a member is to be defragmented, first drop the history but for so many revisions; unset means never. Kubernetes does this by itself, every 5 minutes"`
	Disarm         Set[bool]          `split_words:"true" preset:"false" desc:"end alarms NOSPACE once every member is below 80 % of its quota"`
}

// Prune is what the job prune alone has.
type Prune struct {
	KeepLast            Set[int64]         `split_words:"true" unlimited:"true" desc:"keep so many of the newest archives; -1 keeps all"`
	KeepHourly          Set[int64]         `split_words:"true" unlimited:"true" desc:"keep the newest archive of each of so many hours that have one"`
	KeepDaily           Set[int64]         `split_words:"true" unlimited:"true" desc:"keep the newest archive of each of so many days that have one"`
	KeepWeekly          Set[int64]         `split_words:"true" unlimited:"true" desc:"keep the newest archive of each of so many ISO weeks that have one"`
	KeepMonthly         Set[int64]         `split_words:"true" unlimited:"true" desc:"keep the newest archive of each of so many months that have one"`
	KeepYearly          Set[int64]         `split_words:"true" unlimited:"true" desc:"keep the newest archive of each of so many years that have one"`
	KeepWithin          Set[time.Duration] `split_words:"true" desc:"keep what is not older than this before the newest archive"`
	KeepMin             Set[int64]         `split_words:"true" preset:"3" desc:"the floor: so many of the newest archives always stay"`
	MaxCount            Set[int64]         `split_words:"true" desc:"most archives to keep, whatever the rules say"`
	MaxBytes            Set[Bytes]         `split_words:"true" desc:"most bytes of archives to keep, whatever the rules say"`
	TimeZone            Set[string]        `split_words:"true" preset:"UTC" desc:"time zone of hours, days, weeks, months and years"`
	Label               Set[Labels]        `split_words:"true" desc:"leave alone what lacks this key=value; may be repeated"`
	CountLevel          Set[Choice]        `split_words:"true" preset:"committed" enum:"committed,stored,content" desc:"what an archive must be verified at to count for a rule"`
	PreviousClusterHold Set[time.Duration] `split_words:"true" preset:"30d" desc:"time for which archives of an earlier cluster id are left alone after the first of the next one"`
	StaleAfter          Set[time.Duration] `split_words:"true" desc:"remove nothing when the newest archive is older; unset means 3 times the usual gap"`
	SuspectAfter        Set[time.Duration] `split_words:"true" desc:"age at which suspect archives go; unset means never"`
	MaxRemoved          Set[int64]         `split_words:"true" unlimited:"true" desc:"most archives to remove at once; unset means half, once there are more than 10; -1 is no limit"`
	GarbageAfter        Set[time.Duration] `split_words:"true" preset:"24h" positive:"true" desc:"age, by the store's clock, at which what belongs to no archive goes"`
	ExtendLocks         Set[time.Duration] `split_words:"true" positive:"true" desc:"lock each archive that is kept for at least so long from now, e.g. 14d; S3 with object lock"`
	Interval            Set[time.Duration] `split_words:"true" positive:"true" desc:"time between two runs of prune: --extend-locks must be longer"`
	Only                Set[[]string]      `split_words:"true" desc:"remove these archives alone, by id, and ask no rule; needs --reason"`
	Reason              Set[string]        `split_words:"true" desc:"why, for the log"`
	PlanHash            Set[string]        `split_words:"true" desc:"carry out the plan with this hash and no other, as a dry run printed it"`
	Simulate            Set[bool]          `split_words:"true" preset:"false" desc:"print what the policy would hold over time, without any store"`
	Every               Set[time.Duration] `split_words:"true" preset:"1h" positive:"true" desc:"with --simulate: time between snapshots"`
	Days                Set[int64]         `split_words:"true" preset:"400" desc:"with --simulate: for how long"`
	Size                Set[Bytes]         `split_words:"true" preset:"100Mi" desc:"with --simulate: size of an archive"`
}

// Cron is what cron alone has.
type Cron struct {
	Schedules         Set[Schedules]     `split_words:"true" desc:"lines JOBS=SCHEDULE, several with a semicolon between, e.g. snapshot,verify=0 * * * *; in the file a mapping, whose values may also hold concurrencyPolicy, startingDeadline and suspend of that line"`
	TimeZone          Set[string]        `split_words:"true" preset:"UTC" desc:"time zone of the schedules, e.g. Europe/Berlin"`
	Seconds           Set[bool]          `split_words:"true" preset:"false" desc:"schedules have six fields, the first of which is the second"`
	ConcurrencyPolicy Set[Choice]        `split_words:"true" preset:"forbid" enum:"allow,forbid,replace" desc:"what to do where a line is still running when its next slot comes: run both, wait until it ends, or stop it first"`
	StartingDeadline  Set[time.Duration] `split_words:"true" preset:"10m" desc:"time after which a slot that was missed is not made up for; 0 means never too late"`
	Suspend           Set[bool]          `split_words:"true" preset:"false" desc:"begin no run; those at work go on"`
	Jitter            Set[time.Duration] `split_words:"true" preset:"1h" desc:"runs begin up to so long after their slot, by the cluster's name and no later than the next slot; 0 means at the slot"`
	Drain             Set[time.Duration] `split_words:"true" preset:"25s" positive:"true" desc:"time for runs to end after SIGTERM; then they are killed"`
	Group             Set[string]        `split_words:"true" preset:"cron" desc:"replicas of the same group elect one that begins runs"`
	Listen            Set[string]        `split_words:"true" desc:"address of /healthz and /readyz, e.g. 127.0.0.1:8080; unset means none"`
	Next              Set[int64]         `split_words:"true" positive:"true" file:"-" desc:"print so many coming runs of each line, and end"`
}

// Past is what commands have that can read a store as it was.
type Past struct {
	At Set[time.Time] `split_words:"true" desc:"read the stores as they were at this time, by the versions that they keep (S3); e.g. 2026-01-02T15:04:05Z"`
}

// Hold is what hold, release and accept have.
type Hold struct {
	Reason Set[string]    `split_words:"true" desc:"why, for whoever meets the archive later"`
	Until  Set[time.Time] `split_words:"true" desc:"when the hold ends by itself, e.g. 2026-01-02T15:04:05Z; unset means never"`
}

// Break is what lock break alone has.
type Break struct {
	Yes    Set[bool]   `split_words:"true" preset:"false" file:"-" desc:"end the claim without asking"`
	Reason Set[string] `split_words:"true" desc:"why, for the trace that is left"`
}

// List is what list alone has.
type List struct {
	Long Set[bool] `split_words:"true" preset:"false" desc:"read manifests, receipts and holds, instead of going by their names"`
}

// Status is what status alone has.
type Status struct {
	Watch    Set[bool]          `split_words:"true" preset:"false" desc:"look again and again until stopped"`
	Interval Set[time.Duration] `split_words:"true" preset:"5s" positive:"true" desc:"with --watch: time between two looks"`
}

// Copy is what copy alone has.
type Copy struct {
	To   Set[URLs] `split_words:"true" desc:"store URLs to bring archives to"`
	From Set[URLs] `split_words:"true" desc:"store URLs to bring archives from"`
}

func (*Copy) concern()     {}
func (*Cron) concern()     {}
func (*Defrag) concern()   {}
func (*List) concern()     {}
func (*Status) concern()   {}
func (*Break) concern()    {}
func (*Hold) concern()     {}
func (*Past) concern()     {}
func (*Prune) concern()    {}
func (*Snapshot) concern() {}
func (*Verify) concern()   {}
func (*Restore) concern()  {}
