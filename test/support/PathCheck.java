import java.io.FileInputStream;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateRevokedException;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/** Usage: PathCheck ocsp|crl ROOT CHAIN..., each chain a PEM file with the end entity first; a line of output a chain. */
public final class PathCheck {
  public static void main(String[] arguments) throws Exception {
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    X509Certificate root = read(factory, arguments[1]).get(0);
    for (int i = 2; i < arguments.length; i++) {
      List<X509Certificate> chain = new ArrayList<>(read(factory, arguments[i]));
      chain.removeIf(root::equals);
      System.out.println(verdict(factory.generateCertPath(chain), root, arguments[0].equals("ocsp")));
    }
  }

  private static String verdict(CertPath path, X509Certificate root, boolean ocsp) throws Exception {
    CertPathValidator validator = CertPathValidator.getInstance("PKIX");
    PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
    // The certificates of CAs name neither an OCSP responder nor a CRL here: gateways get the CRLs of CAs with the truststore.
    EnumSet<PKIXRevocationChecker.Option> options = EnumSet.of(PKIXRevocationChecker.Option.NO_FALLBACK, PKIXRevocationChecker.Option.ONLY_END_ENTITY);
    if (!ocsp) options.add(PKIXRevocationChecker.Option.PREFER_CRLS);
    checker.setOptions(options);
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
    parameters.addCertPathChecker(checker);
    try {
      validator.validate(path, parameters);
      return "good";
    } catch (CertPathValidatorException failure) {
      return failure.getCause() instanceof CertificateRevokedException revoked
        ? "revoked " + revoked.getRevocationReason() : failure.getReason() + ": " + failure.getMessage();
    }
  }

  private static List<X509Certificate> read(CertificateFactory factory, String file) throws Exception {
    try (FileInputStream stream = new FileInputStream(file)) {
      @SuppressWarnings("unchecked")
      Collection<X509Certificate> all = (Collection<X509Certificate>) factory.generateCertificates(stream);
      return List.copyOf(all);
    }
  }
}
