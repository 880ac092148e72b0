// Package activities contains the side effects of stevedore's workflows, one file per
// activity: its Input, its Result and a method on Activities.
//
// An activity may be interrupted at any point and run again, on this or another worker,
// while its first attempt still runs. Three rules make that safe. Each attempt claims
// the file and so increments its fence, which rejects older attempts. A status and its
// event are committed together and only once. Each adapter recognizes the results of an
// earlier attempt: the staging checkpoint, the uploaded parts, the finished object.
package activities
