package engine

import "sort"

// Container is a container as `docker inspect` shows it (Docker's API,
// ContainerInspect); Sandbox holds what Docker would not show.
type Container struct {
	ID              string `json:"Id"`
	Created         string
	Path            string
	Args            []string
	State           State
	Image           string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	HostConfig      HostConfig
	Mounts          []Mount
	Config          Config
	NetworkSettings NetworkSettings
	Sandbox         Private
}

// Private is what the stand-in itself needs to know about a container.
type Private struct {
	// Roots maps folders inside the container to folders of this machine.
	Roots []Mount
	// Postgres is the bin folder of the server that the image stands for.
	Postgres string
	// WorkDir is the folder of this machine in which programs start.
	WorkDir string
	// Attached says that output goes to the docker command, not to the log.
	Attached bool
}

// State is the state of a container.
type State struct {
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  string
	FinishedAt string
}

// HostConfig is the part of Docker's HostConfig that the stand-in takes.
type HostConfig struct {
	Binds         []string
	NetworkMode   string
	RestartPolicy struct {
		Name              string
		MaximumRetryCount int
	}
	AutoRemove bool
	Links      []string
	CPUShares  int64 `json:"CpuShares"`
	Memory     int64
	Init       bool
}

// Mount is a folder or file of this machine inside a container.
type Mount struct {
	Type        string
	Source      string
	Destination string
	Mode        string
	RW          bool
	Propagation string
}

// Config is the portable part of a container's or an image's settings.
type Config struct {
	Hostname     string
	User         string
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Env          []string
	Cmd          []string
	Image        string
	WorkingDir   string
	Entrypoint   []string
	Labels       map[string]string
	StopSignal   string `json:",omitempty"`
}

// NetworkSettings are a container's addresses. IPAddress is that of the
// default bridge only, as with Docker.
type NetworkSettings struct {
	Bridge    string
	Gateway   string
	IPAddress string
	Ports     map[string]any
	Networks  map[string]*Endpoint
}

// Endpoint is a container's place in one network. Field order as in Docker's
// JSON.
type Endpoint struct {
	IPAMConfig          any
	Links               []string
	Aliases             []string
	MacAddress          string
	DriverOpts          map[string]string
	GwPriority          int
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// ended makes c an exited container.
func (c *Container) ended(code int) {
	c.State.Status, c.State.Running, c.State.Pid = "exited", false, 0
	c.State.ExitCode, c.State.FinishedAt = code, now()
	c.NetworkSettings.IPAddress, c.NetworkSettings.Gateway = "", ""
	for _, ep := range c.NetworkSettings.Networks {
		ep.IPAddress, ep.Gateway, ep.MacAddress, ep.EndpointID, ep.IPPrefixLen = "", "", "", "", 0
	}
}

// address is c's address, or "" when it has none of its own.
func (c *Container) address() string {
	for _, ep := range c.NetworkSettings.Networks {
		if ep.IPAddress != "" {
			return ep.IPAddress
		}
	}
	return ""
}

func sortNewestFirst(cs []*Container) {
	sort.SliceStable(cs, func(i, j int) bool { return cs[i].Created > cs[j].Created })
}
