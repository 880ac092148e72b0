package ingest

import "slices"

// Step names a step of a file, as operators name it in "retry from".
type Step string

// The steps of a file.
const (
	StepDiscover Step = "discover"
	StepDownload Step = "download"
	StepVerify   Step = "verify"
	StepUpload   Step = "upload"
	// StepTransfer moves the bytes without staging them: it is download, verify
	// and upload in one.
	StepTransfer Step = "transfer"
	StepNotify   Step = "notify"
	// StepAfter is the after-ingest action; a file cannot be retried from it.
	StepAfter Step = "after_ingest"
)

// StepInfo is one row of the table of steps.
type StepInfo struct {
	Step Step
	// Modes are those whose files take the step.
	Modes []Mode
	// Working is the status of a file while the step is at work.
	Working Status
	// Entry is the status that a file has when the step is about to begin; a retry
	// from the step sets it.
	Entry Status
	// Label says what happens, after "the file ".
	Label string
	// Event records that the step is done.
	Event EventType
	// Fetches says that the step reads from the partner's server, and so needs one
	// of its slots.
	Fetches bool
}

// Steps is the story of a file, in order. Workflow, details, API, console,
// command line and worker read it; a step that is not in it does not exist.
var Steps = []StepInfo{
	{StepDownload, []Mode{ModeStaged}, StatusDownloading, StatusReady, "is being downloaded", EventDownloaded, true},
	{StepVerify, []Mode{ModeStaged}, StatusDownloaded, StatusDownloaded, "is being verified", EventVerified, false},
	{StepUpload, []Mode{ModeStaged}, StatusUploading, StatusVerified, "is being uploaded", EventUploaded, false},
	{StepTransfer, []Mode{ModeMemory, ModeDirect}, StatusDownloading, StatusReady, "is being transferred", EventUploaded, true},
	{StepNotify, Modes, StatusUploaded, StatusUploaded, "is being announced", EventNotified, false},
	{StepAfter, Modes, StatusCompleted, StatusCompleted, "is completed; its source is being deleted or moved", EventSourceDone, false},
}

// Info returns the step's row; false for StepDiscover and unknown steps.
func (s Step) Info() (StepInfo, bool) {
	i := stepAt(Steps, s)
	if i < 0 {
		return StepInfo{}, false
	}
	return Steps[i], true
}

// StepsOf returns the steps of files of the mode that an operator can retry
// from, in order.
func StepsOf(mode Mode) []StepInfo {
	var steps []StepInfo
	for _, info := range Steps {
		if info.Step != StepAfter && slices.Contains(info.Modes, mode) {
			steps = append(steps, info)
		}
	}
	return steps
}

// FirstStep is where files of the mode begin.
func FirstStep(mode Mode) Step { return StepsOf(mode)[0].Step }

// StepIn returns the step if an operator can retry files of the mode from it, and
// otherwise the first step: what a step of another mode has done need not be
// there, so only the beginning is sure.
func StepIn(mode Mode, step Step) Step {
	if stepAt(StepsOf(mode), step) < 0 {
		return FirstStep(mode)
	}
	return step
}

// StepAfterIn returns the step that follows in the mode; "" after the last. After
// a step of another mode the first one follows, see StepIn.
func StepAfterIn(mode Mode, step Step) Step {
	steps := StepsOf(mode)
	switch at := stepAt(steps, step); {
	case step == StepAfter, at == len(steps)-1:
		return ""
	default:
		return steps[at+1].Step
	}
}

// stepAt returns the step's index, -1 where there is none.
func stepAt(steps []StepInfo, step Step) int {
	return slices.IndexFunc(steps, func(info StepInfo) bool { return info.Step == step })
}

// RetryFrom lists the steps that an operator may name for a file that failed at
// the step: those of its mode that come no later. It is empty while the file has
// no mode.
func RetryFrom(mode Mode, failed Step) []Step {
	var steps []Step
	for _, info := range StepsOf(mode) {
		steps = append(steps, info.Step)
		if info.Step == failed {
			return steps
		}
	}
	return steps[:min(1, len(steps))] // it failed at a step of another mode: only the beginning is sure
}

// RetrySteps lists the steps of all modes that an operator can retry from, in
// the order of Steps.
func RetrySteps() []Step {
	var steps []Step
	for _, info := range Steps {
		if info.Step != StepAfter {
			steps = append(steps, info.Step)
		}
	}
	return steps
}
