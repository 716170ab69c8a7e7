package dokku

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Feed runs a program and gives it in as its standard input; what it prints is dropped. When in fails, the program is ended and
// that failure is returned. A read that is under way when the program ends is not waited for. env is as in Run.
func (t *Tools) Feed(ctx context.Context, argv []string, env []string, in io.Reader) error {
	// Tried first, since a helper that does not start may have swallowed some input.
	err := t.aside(ctx, []string{argv[0], "--version"}, nil, "", nil)
	helps := err == nil
	if !helps && !t.fallsBack(err) {
		return ended(argv[0], err)
	}
	stdin, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	feeding, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // os/exec's own would be waited for, although nothing ends a read that hangs
		defer writer.Close()
		_, _ = io.Copy(writer, &input{in, cancel}) // a failed write is the program's end
	}()
	if helps {
		err = t.aside(feeding, argv, env, "", stdin)
	} else {
		err = t.within(feeding, argv, env, stdin)
	}
	if feeding.Err() != nil && ctx.Err() == nil {
		return context.Cause(feeding)
	}
	return ended(argv[0], err)
}

// WithFile runs a program whose argv is made from the name of a file that holds content; "" means standard input, which then has
// content. What it prints is dropped. env is as in Run.
func (t *Tools) WithFile(ctx context.Context, argv func(file string) []string, env []string, content []byte) error {
	folder, err := os.MkdirTemp(t.Folder, "helper-")
	if err != nil {
		return fmt.Errorf("prepare helper: %w", err)
	}
	defer os.RemoveAll(folder)
	shared := filepath.Join(folder, "out")
	if err := makeFile(shared, content); err != nil {
		return fmt.Errorf("prepare helper: %w", err)
	}
	err = t.aside(ctx, argv("/out/file"), env, shared, nil)
	if t.fallsBack(err) {
		err = t.within(ctx, argv(""), env, bytes.NewReader(content))
	}
	return ended(argv("")[0], err)
}

// makeFile makes folder with a file in it that any user of a container can read; see makeFIFO.
func makeFile(folder string, content []byte) error {
	file := filepath.Join(folder, "file")
	return errors.Join(
		os.Mkdir(folder, 0o755),
		os.Chmod(folder, 0o755),
		os.WriteFile(file, content, 0o644),
		os.Chmod(file, 0o644),
	)
}

// aside runs a program in a helper container, which sees folder as /out. One that never ran is a *notStarted.
func (t *Tools) aside(ctx context.Context, argv, env []string, folder string, in io.Reader) error {
	helper := t.newHelper(argv, env, folder)
	helper.Stdin = in != nil
	err := t.Host.Exec(ctx, Command{Argv: t.Host.HelperRun(helper), Secrets: env, Stdin: in})
	if ctx.Err() != nil {
		return errors.Join(err, t.kill(ctx, helper))
	}
	return started(err)
}

// within runs a program in the service's container; see inService for what a cancel leaves.
func (t *Tools) within(ctx context.Context, argv, env []string, in io.Reader) error {
	return t.Host.Exec(ctx, Command{Argv: t.execArgv(argv, env, "--interactive"), Secrets: env, Stdin: in})
}

// input tells of a failure to read before the program sees the end of its input and takes it for the whole.
type input struct {
	r      io.Reader
	failed context.CancelCauseFunc
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.failed(err)
	}
	return n, err
}
