package cloud

import "testing"

// EveryKind runs fn with a way to open empty stores of each kind, for tests that need what imports this package.
func EveryKind(t *testing.T, fn func(t *testing.T, open func(t *testing.T) *Store)) { everyKind(t, fn) }
