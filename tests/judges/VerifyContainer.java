// A foreign judge: reads containers by ZipInputStream, as X-Road does, and verifies the XML
// signature inside with the JDK alone. Prints one line per file: "valid NAME", "invalid NAME" or
// "unreadable NAME: reason". Trust in the certificate is not judged.
//
//   java VerifyContainer.java FILE...

import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import javax.xml.crypto.KeySelector;
import javax.xml.crypto.KeySelectorResult;
import javax.xml.crypto.OctetStreamData;
import javax.xml.crypto.URIDereferencer;
import javax.xml.crypto.URIReferenceException;
import javax.xml.crypto.dsig.XMLSignature;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.crypto.dsig.keyinfo.X509Data;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

public class VerifyContainer {

    public static void main(String[] files) {
        for (String file : files) {
            try {
                System.out.println((isValid(read(file)) ? "valid " : "invalid ") + file);
            } catch (Exception e) {
                System.out.println("unreadable " + file + ": " + e);
            }
        }
    }

    private static Map<String, byte[]> read(String file) throws Exception {
        Map<String, byte[]> entries = new HashMap<>();
        try (ZipInputStream zip = new ZipInputStream(new FileInputStream(file))) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                entries.put(entry.getName(), zip.readAllBytes());
            }
        }
        return entries;
    }

    private static boolean isValid(Map<String, byte[]> entries) throws Exception {
        DocumentBuilderFactory builders = DocumentBuilderFactory.newInstance();
        builders.setNamespaceAware(true);
        builders.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        Document document = builders.newDocumentBuilder().parse(
                new ByteArrayInputStream(entries.get("META-INF/signatures.xml")));
        Element element =
                (Element) document.getElementsByTagNameNS(XMLSignature.XMLNS, "Signature").item(0);
        DOMValidateContext context = new DOMValidateContext(new CertificateKey(), element);
        registerIds(document, context);
        XMLSignatureFactory factory = XMLSignatureFactory.getInstance("DOM");
        URIDereferencer standard = factory.getURIDereferencer();
        context.setURIDereferencer((reference, crypto) -> {
            String uri = reference.getURI();
            if (uri.startsWith("#")) {
                return standard.dereference(reference, crypto);
            }
            byte[] data = entries.get(uri.substring(1));
            if (data == null) {
                throw new URIReferenceException("no " + uri + " in the container");
            }
            return new OctetStreamData(new ByteArrayInputStream(data));
        });
        return factory.unmarshalXMLSignature(context).validate(context);
    }

    private static void registerIds(Document document, DOMValidateContext context) {
        NodeList all = document.getElementsByTagName("*");
        for (int i = 0; i < all.getLength(); i++) {
            Element element = (Element) all.item(i);
            if (element.hasAttribute("Id")) {
                context.setIdAttributeNS(element, null, "Id");
            }
        }
    }

    private static class CertificateKey extends KeySelector {
        @Override
        public KeySelectorResult select(javax.xml.crypto.dsig.keyinfo.KeyInfo info,
                KeySelector.Purpose purpose, javax.xml.crypto.AlgorithmMethod method,
                javax.xml.crypto.XMLCryptoContext context) {
            X509Data data = (X509Data) info.getContent().get(0);
            PublicKey key = ((X509Certificate) data.getContent().get(0)).getPublicKey();
            return () -> key;
        }
    }
}
