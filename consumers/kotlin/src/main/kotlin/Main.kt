import dev.vbn.Variant
import dev.vbn.VbnBackends
import dev.vbn.VbnConfig
import dev.vbn.VirtualBatchNorm
import dev.vbn.tensor.HostTensor

fun main() {
  val config = VbnConfig.of(2).withVariant(Variant.PER_EXAMPLE)
  val reference = HostTensor.of(floatArrayOf(1f, 10f, 3f, 30f), 2, 2)
  val live = HostTensor.of(floatArrayOf(5f, 20f), 1, 2)
  VbnBackends.find().open(HostTensor::class.java).use { backend ->
    VirtualBatchNorm.of(backend, config).use { layer ->
      // A type argument that may be null, and a parameter that is: as JSpecify marks them.
      val gamma: HostTensor? = layer.gamma()
      layer.referenceStatistics(reference).use { statistics ->
        layer.forward(live, statistics).use { y ->
          println("computed ${y.output().floats().contentToString()}, gamma $gamma")
        }
      }
    }
  }
}
