package dokku

func (c *call) importPostgres(image string) error { return fail("not yet: %s", image) }
