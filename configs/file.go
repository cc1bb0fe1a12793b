package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/tzero-edge/tzero/configs/strict"
)

const maxSecretFile = 64 << 10

// readFile reads a regular file of bounded size. It cannot be made to wait: O_NONBLOCK keeps the open of a
// FIFO without a writer from blocking, and what is not a regular file is not read.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, errors.New("it is a directory")
	case !mode.IsRegular():
		return nil, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d KiB", limit>>10)
	}
	return data, nil
}

func readSecret(path string) ([]byte, error) { return readFile(path, maxSecretFile) }

func readConfig(path string) ([]byte, error) {
	data, err := readFile(path, strict.MaxFile)
	if err != nil {
		// The path stands in front of every message of this file; do not say it twice.
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	return data, nil
}
