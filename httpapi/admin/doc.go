// Package admin has the handlers that show and change the group: its members, its access
// control and its certificates. Those that change something must be wrapped by
// Handlers.AtMaster.
package admin
