package openapi

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"

	"stevedore/internal/ingest"
)

// Roles are the roles that operations require, by operationId.
type Roles map[string]ingest.Role

// RolesOf reads the roles of openapi.yaml: an operation's x-role, and "" for one without
// security. Without x-role, reading requires a viewer and everything else an admin, so that
// a forgotten operation is closed.
func RolesOf(doc *openapi3.T) Roles {
	roles := Roles{}
	for _, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			stated, _ := operation.Extensions["x-role"].(string)
			switch role := ingest.Role(stated); {
			case operation.Security != nil && len(*operation.Security) == 0:
				roles[operation.OperationID] = ""
			case role != "":
				roles[operation.OperationID] = role
			case method == http.MethodGet:
				roles[operation.OperationID] = ingest.RoleViewer
			default:
				roles[operation.OperationID] = ingest.RoleAdmin
			}
		}
	}
	return roles
}

// Of returns the role that the operation requires: admin for an unknown one.
func (r Roles) Of(operationID string) ingest.Role {
	if role, known := r[operationID]; known {
		return role
	}
	return ingest.RoleAdmin
}
