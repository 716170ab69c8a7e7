# Developers' entry points; CI runs nothing that is not here. `make help` lists them.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DIST := dist
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' plugin.toml)
RELEASE := dokku-backup-$(VERSION)
# What a release holds: all that Dokku calls and a person reads, and no source.
RELEASED := CHANGELOG.md LICENSE README.md commands doc hooks install plugin.toml subcommands uninstall update

# One way to build for all that is not raced: what one target has compiled serves the others.
export GOFLAGS := -trimpath
export CGO_ENABLED := 0

.PHONY: help build sandbox test test-raced test-unraced race lint fmt bench e2e demo release clean

help: ## list these targets
	@sed -n 's/^\([a-z0-9]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

build: ## build the program into bin/dokku-backup
	./build.sh bin/dokku-backup

sandbox: ## build bin/sandbox, a stand-in Dokku host
	go build -o bin/sandbox ./sandbox

test: ## run every test, acceptance scripts included (those on Docker where an engine answers)
	test/setup test
	$(MAKE) --jobs=2 --output-sync=target test-raced test-unraced
	test/plugin
	$(MAKE) sandbox
	test/run
	@if docker info >/dev/null 2>&1; then test/run --docker; else echo "no Docker engine answers: the acceptance scripts ran without --docker"; fi

test-raced:
	CGO_ENABLED=1 go test -race -timeout 15m $$(go list ./... | grep -vxF "$$(test/cloud-packages)")

test-unraced:
	go test -timeout 15m $$(test/cloud-packages) ./internal/schedule

race: ## run every Go test with the race detector: `test` leaves out the packages for which that compiles rclone's clouds anew
	test/setup test
	CGO_ENABLED=1 go test -race -timeout 30m ./...

lint: ## gofmt, go vet, staticcheck, shellcheck, import rules
	test/setup lint
	@gofmt -l . | { ! grep . ; } || { echo "these files need: make fmt" >&2; exit 1; }
	@git ls-files | { ! grep -E '.+/commands(/|$$)'; } || { echo "Dokku runs any file called commands, at any depth: rename these" >&2; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	find . -type f ! -path './.git/*' ! -path './bin/*' ! -path './dist/*' \
	  -exec awk 'FNR == 1 && /^#!.*sh$$/ { print FILENAME } { nextfile }' {} + | xargs shellcheck
	go test -count=1 -run TestImports ./internal

fmt: ## format the Go code
	gofmt -w .

bench: sandbox ## measure against the goals of DESIGN.md
	test/setup test bench
	test/bench
	test/bench-sync
	test/bench-list

e2e: ## run the acceptance scripts on this host's real Dokku
	test/run --host

demo: ## back up the example app in a sandbox, and show what was made
	test/setup demo
	$(MAKE) sandbox
	test/demo

release: release-amd64 release-arm64 ## make the release tarballs in dist/

# One folder at the top, as dokku plugin:install wants it; the same sources and Go give the same bytes. It is filled in a folder whose
# name begins with a dot, where Go looks for no packages.
release-%:
	rm -rf $(DIST)/.$*
	mkdir -p $(DIST)/.$*/$(RELEASE)/bin
	cp -a $(RELEASED) $(DIST)/.$*/$(RELEASE)
	rm -rf $(DIST)/.$*/$(RELEASE)/doc/*_test.go $(DIST)/.$*/$(RELEASE)/doc/testdata
	GOARCH=$* ./build.sh $(DIST)/.$*/$(RELEASE)/bin/dokku-backup
	echo linux/$* >$(DIST)/.$*/$(RELEASE)/bin/release
	tar --create --directory $(DIST)/.$* --sort name --format gnu --owner 0 --group 0 --numeric-owner --mode u=rwX,go=rX --mtime @0 \
	  $(RELEASE) | gzip --best --no-name >$(DIST)/$(RELEASE)-linux-$*.tar.gz
	rm -rf $(DIST)/.$*
	@echo $(DIST)/$(RELEASE)-linux-$*.tar.gz

clean: ## remove what was built
	rm -rf bin $(DIST)
