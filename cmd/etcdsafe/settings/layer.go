package settings

// Layer is who gave a setting its value; a higher layer wins, whoever speaks first.
type Layer int

// The layers, lowest first.
const (
	LayerDefault Layer = iota
	LayerEtcdctl
	LayerFile
	LayerEnvironment
	LayerFlag
)

// String names the layer as `config` prints it.
func (l Layer) String() string {
	switch l {
	case LayerDefault:
		return "default"
	case LayerEtcdctl:
		return "etcdctl environment"
	case LayerFile:
		return "file"
	case LayerEnvironment:
		return "environment"
	case LayerFlag:
		return "flag"
	}
	return "unknown"
}

// MarshalText makes JSON say what String says.
func (l Layer) MarshalText() ([]byte, error) {
	return []byte(l.String()), nil
}
