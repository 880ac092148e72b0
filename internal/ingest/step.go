package ingest

import "slices"

// Step is a step in the processing of a file.
type Step string

// The steps of a file.
const (
	StepDiscover Step = "discover"
	StepDownload Step = "download"
	StepVerify   Step = "verify"
	StepUpload   Step = "upload"
	// StepTransfer moves the bytes without staging; it combines download, verify and
	// upload.
	StepTransfer Step = "transfer"
	StepNotify   Step = "notify"
	// StepAfter is the after-ingest action. A file cannot be retried from it.
	StepAfter Step = "after_ingest"
)

// StepInfo describes a step in the table Steps.
type StepInfo struct {
	Step Step
	// Modes are the transfer modes that include the step.
	Modes []Mode
	// Working is the file's status during the step.
	Working Status
	// Entry is the file's status before the step. A retry from the step sets it.
	Entry Status
	// Label describes the step for display; it continues "the file ".
	Label string
	// Event is recorded when the step is done.
	Event EventType
	// Fetches reports whether the step reads from the partner's server and so needs a
	// slot.
	Fetches bool
	// FreesSlotOnRetry reports whether a retry of the step releases the file's slot,
	// because the step does not read from the server, or may wait long for it or for
	// the checksum file. Other files use the slot meanwhile.
	FreesSlotOnRetry bool
}

// Steps lists the steps of a file in order. Workflow, API, console, command line and
// worker read order, modes and statuses from it. docs/extend.md lists the other places
// that name steps.
var Steps = []StepInfo{
	{
		Step: StepDownload, Modes: []Mode{ModeStaged}, Working: StatusDownloading, Entry: StatusReady,
		Label: "is being downloaded", Event: EventDownloaded, Fetches: true,
	},
	{
		Step: StepVerify, Modes: []Mode{ModeStaged}, Working: StatusDownloaded, Entry: StatusDownloaded,
		Label: "is being verified", Event: EventVerified, FreesSlotOnRetry: true,
	},
	{
		Step: StepUpload, Modes: []Mode{ModeStaged}, Working: StatusUploading, Entry: StatusVerified,
		Label: "is being uploaded", Event: EventUploaded,
	},
	{
		Step: StepTransfer, Modes: []Mode{ModeMemory, ModeDirect}, Working: StatusDownloading, Entry: StatusReady,
		Label: "is being transferred", Event: EventUploaded, Fetches: true,
	},
	{
		Step: StepNotify, Modes: Modes, Working: StatusUploaded, Entry: StatusUploaded,
		Label: "is stored; its notification is being published", Event: EventNotified, FreesSlotOnRetry: true,
	},
	{
		Step: StepAfter, Modes: Modes, Working: StatusCompleted, Entry: StatusCompleted,
		Label: "is completed; its source is being deleted or moved", Event: EventSourceDone, FreesSlotOnRetry: true,
	},
}

// Info returns the step's description; false for StepDiscover and unknown steps.
func (s Step) Info() (StepInfo, bool) {
	i := stepAt(Steps, s)
	if i < 0 {
		return StepInfo{}, false
	}
	return Steps[i], true
}

// StepsOf returns the steps of the mode from which an operator can retry, in order.
func StepsOf(mode Mode) []StepInfo {
	var steps []StepInfo
	for _, info := range Steps {
		if info.Step != StepAfter && slices.Contains(info.Modes, mode) {
			steps = append(steps, info)
		}
	}
	return steps
}

// FirstStep returns the first step of the mode.
func FirstStep(mode Mode) Step { return StepsOf(mode)[0].Step }

// StepIn returns the step if an operator can retry from it in the mode, and the
// first step otherwise: the results of steps of another mode may be missing.
func StepIn(mode Mode, step Step) Step {
	if stepAt(StepsOf(mode), step) < 0 {
		return FirstStep(mode)
	}
	return step
}

// StepAfterIn returns the step that follows in the mode; "" after the last. After
// a step of another mode it is the first step, see StepIn.
func StepAfterIn(mode Mode, step Step) Step {
	steps := StepsOf(mode)
	switch at := stepAt(steps, step); {
	case step == StepAfter, at == len(steps)-1:
		return ""
	default:
		return steps[at+1].Step
	}
}

// stepAt returns the step's index, or -1.
func stepAt(steps []StepInfo, step Step) int {
	return slices.IndexFunc(steps, func(info StepInfo) bool { return info.Step == step })
}

// RetryFrom returns the steps from which an operator may retry a file that failed
// at the given step: the steps of its mode up to that one. It is empty before the
// file has a mode.
func RetryFrom(mode Mode, failed Step) []Step {
	var steps []Step
	for _, info := range StepsOf(mode) {
		steps = append(steps, info.Step)
		if info.Step == failed {
			return steps
		}
	}
	return steps[:min(1, len(steps))] // it failed at a step of another mode
}

// RetrySteps returns the steps of all modes from which an operator can retry, in
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
