// Package access controls the use of stevedore: principals, API tokens with their roles,
// console sessions, the check of both, and the audit log of changes.
package access
