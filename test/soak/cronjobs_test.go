package soak

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	discoveryclient "k8s.io/client-go/discovery"
)

const namespace = "default"

// make makes a row's CronJob.
func (d *duel) make(c *contest) {
	d.t.Helper()
	policy := map[string]batchv1.ConcurrencyPolicy{"allow": batchv1.AllowConcurrent, "forbid": batchv1.ForbidConcurrent, "replace": batchv1.ReplaceConcurrent}[c.policy]
	keep := int32(100)
	spec := batchv1.CronJobSpec{Schedule: "* * * * *", ConcurrencyPolicy: policy, SuccessfulJobsHistoryLimit: &keep}
	if c.deadline > 0 {
		limit := int64(c.deadline.Seconds())
		spec.StartingDeadlineSeconds = &limit
	}
	spec.JobTemplate.Labels = map[string]string{"row": c.name}
	spec.JobTemplate.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "none"}}}
	made, err := d.client.CronJobs(namespace).Create(d.t.Context(), &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: c.name}, Spec: spec}, metav1.CreateOptions{})
	if err == nil && c.hindered == manyMissed {
		made.Status.LastScheduleTime = &metav1.Time{Time: d.start.Add(-137 * time.Minute)}
		_, err = d.client.CronJobs(namespace).UpdateStatus(d.t.Context(), made, metav1.UpdateOptions{})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.jobs[c.name] = map[time.Time]time.Time{}
}

func (d *duel) suspend(c *contest, suspend bool) {
	d.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"suspend":%v}}`, suspend)
	if _, err := d.client.CronJobs(namespace).Patch(d.t.Context(), c.name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

// until looks at Jobs until a time after slot 0: notes those that are new, and ends those that are not held.
func (d *duel) until(at time.Duration) {
	d.t.Helper()
	for time.Now().Before(d.start.Add(at)) {
		for _, j := range d.list() {
			row, slot := j.Labels["row"], d.slotOf(j)
			d.jobs[row][slot] = j.CreationTimestamp.Time
			if !d.holds(row, slot) {
				d.end(j)
			}
		}
		rest(d.t, 300*time.Millisecond)
	}
}

func (d *duel) list() []batchv1.Job {
	d.t.Helper()
	all, err := d.client.Jobs(namespace).List(d.t.Context(), metav1.ListOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	return all.Items
}

// slotOf is the time for which the controller says that it made a Job.
func (d *duel) slotOf(j batchv1.Job) time.Time {
	d.t.Helper()
	slot, err := time.Parse(time.RFC3339, j.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	if err != nil {
		d.t.Fatalf("the slot of Job %s: %v", j.Name, err)
	}
	return slot.UTC()
}

// holds says whether a Job is held yet.
func (d *duel) holds(row string, slot time.Time) bool {
	held := false
	d.each("held", func(c *contest) { held = held || c.name == row })
	return held && slot.Equal(d.start) && time.Now().Before(d.start.Add(d.times.free))
}

// finish ends the Job that a row held, unless it was replaced.
func (d *duel) finish(c *contest) {
	d.t.Helper()
	for _, j := range d.list() {
		if j.Labels["row"] == c.name {
			d.end(j)
		}
	}
}

// end says of a Job what its controller would when its Pod has ended well.
func (d *duel) end(j batchv1.Job) {
	d.t.Helper()
	if j.Status.CompletionTime != nil {
		return
	}
	now := metav1.Now()
	for _, what := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: what, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	j.Status.StartTime, j.Status.CompletionTime, j.Status.Succeeded = &j.CreationTimestamp, &now, 1
	if _, err := d.client.Jobs(namespace).UpdateStatus(d.t.Context(), &j, metav1.UpdateOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

// theirs are the Jobs that the controller made.
func (c *contest) theirs(d *duel) (out []ran) {
	for slot, at := range d.jobs[c.name] {
		out = append(out, ran{slot, at})
	}
	return out
}

// release is that of the server, and of the controller: they are one binary.
func (d *duel) release() string {
	d.t.Helper()
	client, err := discoveryclient.NewDiscoveryClientForConfig(d.server.Admin())
	if err != nil {
		d.t.Fatal(err)
	}
	v, err := client.ServerVersion()
	if err != nil {
		d.t.Fatal(err)
	}
	return v.GitVersion
}
