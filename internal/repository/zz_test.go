package repository
import ("testing";"bytes";"runtime/pprof";"runtime";"os";"fmt")
func TestZZ(t *testing.T){
 r,_:=create(t)
 stop,peak:=watchHeap()
 w,_:=r.NewWriter(t.Context(),2,nil)
 _,err:=w.Rows(&endless{block: rows(1,100_000), left: 300<<20}); check(t,err)
 runtime.GC()
 f,_:=os.Create("/tmp/perf/heap"); pprof.Lookup("heap").WriteTo(f,0); f.Close()
 w.Close(); stop(); fmt.Println("writer peak", <-peak>>20)
 _=bytes.NewReader
}
