package endurance

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// What limitedGateway reads.
const (
	binaryVar = "ENDURANCE_BINARY"
	filesVar  = "ENDURANCE_FILES"
)

// Limited is the environment in which this test binary becomes the gateway, with that many descriptors.
func Limited(binary string, files int) map[string]string {
	return map[string]string{roleVar: "gateway", binaryVar: binary, filesVar: strconv.Itoa(files)}
}

// limitedGateway turns this process into the gateway with few descriptors. It returns only if that fails.
func limitedGateway() error {
	files, err := strconv.ParseUint(os.Getenv(filesVar), 10, 32)
	if err != nil {
		return fmt.Errorf("cannot limit the gateway's descriptors: %w", err)
	}
	// The hard limit too: Go's runtime raises the soft one to it.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
		return fmt.Errorf("cannot limit the gateway's descriptors to %d: %w", files, err)
	}
	binary := os.Getenv(binaryVar)
	os.Unsetenv(roleVar)
	err = syscall.Exec(binary, append([]string{binary}, os.Args[1:]...), os.Environ())
	return fmt.Errorf("cannot run %s: %w", binary, err)
}
