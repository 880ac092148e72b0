// Package activities holds the side effects of stevedore's workflows, one file
// per activity: its Input, its Result and a method on Activities.
//
// Every activity may be cut off at any line and run again, here or elsewhere,
// while its first attempt still lives. Three things make that harmless: each
// attempt claims the file and so raises its fence (an older attempt can then
// no longer change the ledger); a status and its event are committed together
// and only once; and each adapter finds what an earlier attempt left (the
// staging checkpoint, the uploaded parts, the finished object).
package activities
