package recipes_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"stevedore/internal/ingest"
	"stevedore/internal/rig"
)

func TestExplore(t *testing.T) {
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme := h.AddServer("acme-x", nil)
	hostile := []string{"a.csv", "b.csv", "c_d_e.csv", "[click](http:", "<img src=x onerror=alert(1)>.csv", "`code` <b>x</b> $x$ 1_2_3.csv"}
	for _, name := range hostile {
		acme.Write(name, rig.Random(100))
		acme.Write(name+".sha256", []byte(rig.Digest([]byte("other"))+"  "+name+"\n"))
	}
	h.Scan()
	for _, name := range hostile {
		f := h.Parked(acme.Path(name))
		fmt.Println("PARKED", f.UUID, f.RemotePath, f.ServerUUID)
	}
	globex := h.AddServer("globex-x", nil)
	h.S3.Core.RemoveBucket(h.Ctx, h.S3.Bucket)
	globex.Write("up.bin", rig.Random(1000))
	h.Scan()
	f := h.File(globex.Path("up.bin"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	fmt.Println("UPLOADING", f.UUID, h.Queue)
	for n := 0; n < 2400; n++ {
		if _, err := os.Stat("/tmp/w-recipes-go"); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	h.S3.Core.MakeBucket(h.Ctx, h.S3.Bucket, minio.MakeBucketOptions{})
}
