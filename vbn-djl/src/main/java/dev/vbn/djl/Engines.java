package dev.vbn.djl;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineProvider;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Finds an engine, whichever class loader DJL was first used through.
 *
 * <p>DJL looks for its engines once, through the context class loader of the thread that happens to
 * touch {@code Engine} first: if that sees none, as in the common pool of a web server, DJL has none
 * for as long as the JVM runs. So those that this class's own loader sees are registered here too.
 */
final class Engines {
  private static final String OPT_OUT_TRACKING = "OPT_OUT_TRACKING";
  private static final String DEFAULT_VARIABLE = "DJL_DEFAULT_ENGINE";
  private static final String DEFAULT_PROPERTY = "ai.djl.default_engine";

  private Engines() {}

  /**
   * The named engine, or else DJL's default, or else the one that DJL would prefer of those seen.
   *
   * @throws IllegalArgumentException if an engine was named that is not there
   */
  static Engine find() {
    optOutOfTracking();
    Map<String, EngineProvider> seen = seen();
    requireDefault(seen);
    seen.values().forEach(Engine::registerEngine);
    String name = System.getProperty(DjlProvider.ENGINE_PROPERTY);
    if (name != null) {
      return get(DjlProvider.ENGINE_PROPERTY, name);
    }
    name = Engine.getDefaultEngineName();
    if (name != null) {
      return get("DJL's default engine", name);
    }
    return seen.values().stream()
        .min(Comparator.comparingInt(EngineProvider::getEngineRank))
        .orElseThrow(() -> new IllegalStateException(
            "DJL has found no engine; expected one next to it on the class path"))
        .getEngine();
  }

  /**
   * DJL asks the cloud's metadata address for the name of the machine and reports it to Amazon, when
   * it starts: not on VBN's behalf, unless the user has set this variable or property.
   */
  private static void optOutOfTracking() {
    if (System.getenv(OPT_OUT_TRACKING) == null && System.getProperty(OPT_OUT_TRACKING) == null) {
      System.setProperty(OPT_OUT_TRACKING, "true");
    }
  }

  private static Map<String, EngineProvider> seen() {
    Set<@Nullable ClassLoader> loaders = new HashSet<>();
    loaders.add(Thread.currentThread().getContextClassLoader());
    loaders.add(Engines.class.getClassLoader());
    Map<String, EngineProvider> seen = new LinkedHashMap<>();
    for (ClassLoader loader : loaders) {
      for (EngineProvider provider : ServiceLoader.load(EngineProvider.class, loader)) {
        seen.putIfAbsent(provider.getEngineName(), provider);
      }
    }
    return seen;
  }

  /** A default engine that is not there makes the class {@code Engine} unusable for good. */
  private static void requireDefault(Map<String, EngineProvider> seen) {
    String variable = System.getenv(DEFAULT_VARIABLE);
    String name = variable != null ? variable : System.getProperty(DEFAULT_PROPERTY);
    if (name != null && !name.isEmpty() && !seen.isEmpty() && !seen.containsKey(name)) {
      throw notThere(variable != null ? DEFAULT_VARIABLE : DEFAULT_PROPERTY, name, seen.keySet());
    }
  }

  private static Engine get(String setting, String name) {
    if (!Engine.hasEngine(name)) {
      throw notThere(setting, name, Engine.getAllEngines());
    }
    return Engine.getEngine(name);
  }

  private static IllegalArgumentException notThere(String setting, String name, Set<String> there) {
    return new IllegalArgumentException(
        setting + " is '" + name + "'; expected an engine on the class path, which has " + there);
  }
}
